import dataclasses

import numpy as np
import pytest

from bert_jax.errors import BertJaxError
from bert_jax.objectives.candidates import Candidates
from bert_jax.objectives.labels import SEVERAL, Labels
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from tests.objectives import small, test_masked_words
from tests.objectives.small import CONFIG


def labels(name, count):
    return Labels(name=name, names=tuple("abcdef"[:count]), choose=SEVERAL)


def label_columns(name, count):
    shape = (*small.used_slots().shape, count)
    return {f"{name}s": np.ones(shape, np.float32), f"{name}_weights": small.used_slots()}


def test_objectives_of_one_name_are_refused():
    with pytest.raises(BertJaxError, match="Several objectives are named nsp"):
        small.learner_of(MaskedWords(), SentencePairs(), SentencePairs(question="sentence order"))


def test_each_objective_has_its_own_number_of_labels():
    """Too few columns would be broadcast."""
    learner = small.learner_of(labels("topic", 4), labels("tone", 2))
    batch = small.core() | label_columns("topic", 4) | label_columns("tone", 2)
    learner.check(batch)
    for count in (1, 3):
        with pytest.raises(BertJaxError, match=f"tones has C = {count}, but other columns have C = 2"):
            learner.check(batch | label_columns("tone", count))


def test_a_shared_column_keeps_its_bound_in_any_order():
    """An index of a source that is not there would be clamped."""
    words, pairs = MaskedWords(sources=("en", "de", "fr")), Candidates(group_size=3, temperature=1.0)
    batch = test_masked_words.rows()
    pair_columns = dataclasses.replace(pairs).columns
    batch |= {name: np.zeros((3, small.N), column.dtype) for name, column in pair_columns.items()}
    for objectives in ((words, pairs), (pairs, words)):
        learner = small.learner_of(*objectives)
        assert learner.columns["source_ids"].below == 3
        learner.check(batch)
        with pytest.raises(BertJaxError, match=r"source_ids has values outside 0\.\.2"):
            learner.check(batch | {"source_ids": np.full((3, small.N), 3, np.int32)})


def test_heads_share_the_pooler_and_its_operations():
    batch = small.core() | label_columns("topic", 4) | label_columns("tone", 2)
    one, other, both = (
        small.learner_of(*objectives).flops(batch)
        for objectives in ((labels("topic", 4),), (labels("tone", 2),), (labels("topic", 4), labels("tone", 2)))
    )
    body = small.learner_of(Labels(names=("a",), of_tokens=True)).flops(batch | {"label_weights": np.zeros((3, 16))})
    examples = small.used_slots().sum()
    assert one - body == 6 * examples * (CONFIG.hidden_size**2 + 4 * CONFIG.hidden_size)
    assert both == one + other - body - 6 * examples * CONFIG.hidden_size**2
