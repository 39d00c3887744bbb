import dataclasses

import numpy as np
import pytest

from bert_jax.data.config import DataConfig, HeldOutConfig
from bert_jax.data.evaluation import held_out_config, held_out_rows
from bert_jax.errors import CorpusError
from bert_jax.objectives.candidates import Candidates, candidates_of
from tests.data.splits import MANY, ONE_DOCUMENT, ONE_SENTENCE_EACH, split_of

KINDS = ("balanced", "sentence_order", "full_sentences", "candidates")
CONFIG = DataConfig(sequence_length=64, nsp_group_size=4)


def held_out(corpus, num_targets=300, **changes):
    return held_out_rows(corpus, dataclasses.replace(CONFIG, **changes), HeldOutConfig(num_targets=num_targets))


def equal(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def counted(batch):
    return batch["nsp_labels"][batch["nsp_weights"] > 0]


@pytest.mark.parametrize("num_targets", [50, 1234, 3000])
@pytest.mark.parametrize("examples", KINDS)
def test_the_number_of_targets_is_met_to_a_row_or_a_group(corpus, examples, num_targets):
    batch = held_out(corpus, num_targets, examples=examples)
    group = 4 if examples == "candidates" else 1
    assert len(batch["token_ids"]) % group == 0
    weights = batch["masked_weights"].reshape(-1, group, batch["masked_weights"].shape[1]).sum((1, 2))
    assert weights.sum() - weights[-1] < num_targets <= weights.sum()
    assert (batch["masked_weights"].sum(1) > 0).all()


def test_it_is_fixed_and_a_longer_set_begins_like_a_shorter_one(corpus):
    short, again, long = (held_out(corpus, n, examples="full_sentences") for n in (300, 300, 900))
    assert equal(short, again)
    assert equal(short, {name: value[: len(short["token_ids"])] for name, value in long.items()})
    other = held_out_rows(corpus, CONFIG, HeldOutConfig(num_targets=300, seed=1))
    assert not np.array_equal(other["token_ids"][:3], held_out(corpus)["token_ids"][:3])


@pytest.mark.parametrize("examples", KINDS)
def test_how_training_masks_packs_and_weighs_text_does_not_matter(corpus, examples):
    changes = {
        "masking": "span",
        "mask_rate": 0.3,
        "mask_share": 0.5,
        "random_share": 0.2,
        "max_predictions": 4,
        "max_examples": 1,
        "short_probability": 0.9,
        "source_exponent": 0.5,
        "source_weights": "documents=1",
        "nsp_temperature": 3.0,
        "prefetch": 7,
        "ramp_from": 2,
        "ramp_increment": 2,
        "ramp_steps": 9,
    }
    assert equal(held_out(corpus, examples=examples), held_out(corpus, examples=examples, **changes))
    fixed = {"examples", "sequence_length", "nsp_group_size", "corpus", "phases"}
    assert {field.name for field in dataclasses.fields(DataConfig)} == fixed | changes.keys()


def test_pairs_with_forced_labels_are_scored_as_those_with_drawn_ones(corpus):
    assert equal(held_out(corpus, examples="bert"), held_out(corpus, examples="balanced"))


@pytest.mark.parametrize("examples", ["balanced", "sentence_order"])
def test_labels_are_balanced_exactly(corpus, examples):
    labels = counted(held_out(corpus, 3000, examples=examples))
    assert len(labels) > 50
    assert labels.mean() == 0.5
    assert "nsp_labels" not in held_out(corpus, examples="full_sentences")


def test_the_mask_rate_is_that_of_the_evaluation(corpus):
    config = HeldOutConfig(num_targets=3000, mask_rate=0.4)
    batch = held_out_rows(corpus, CONFIG, config)
    assert batch["masked_weights"].sum() / (batch["example_ids"] > 0).sum() == pytest.approx(0.4, abs=0.02)
    assert held_out_config(CONFIG, config).row_predictions == batch["masked_weights"].shape[1] == 28


def test_candidates_of_two_documents_have_the_chance_that_their_rivals_leave(corpus):
    """Rows of one document have those of the other for rivals: none, one, two or three of the group's."""
    few = dataclasses.replace(corpus, validation=split_of(MANY[:2]))
    batch = held_out(few, 2000, examples="candidates")
    chance = Candidates(group_size=4, temperature=1.0).baselines(batch)["candidates_chance"]
    sizes = np.asarray(candidates_of(batch, 4)).sum(-1).ravel()[batch["pair_weights"][:, 0] > 0]
    assert set(sizes) == {1, 2, 3, 4}
    assert chance == pytest.approx(np.mean(1 / sizes))
    assert 0.3 < chance < 0.7


@pytest.mark.parametrize("documents", [ONE_DOCUMENT, ONE_SENTENCE_EACH])
@pytest.mark.parametrize("examples", ["bert", "candidates"])
def test_documents_that_cannot_score_pairs_are_refused(corpus, documents, examples):
    poor = dataclasses.replace(corpus, validation=split_of(documents))
    with pytest.raises(CorpusError, match=r"held-out documents.*Hold out at least two documents of several sentences"):
        held_out(poor, examples=examples)
    assert len(held_out(poor, examples="full_sentences"))


def test_too_few_targets_for_both_labels_are_what_is_told(corpus):
    with pytest.raises(CorpusError, match=r"With eval\.num_targets=1, the held-out set has no pairs of both labels"):
        held_out(corpus, num_targets=1)


def test_text_of_one_token_is_refused_by_name(corpus):
    unknown = dataclasses.replace(corpus, validation=split_of(MANY, words=[corpus.tokenizer.unk_id]))
    with pytest.raises(CorpusError, match=r"Every token of the held-out documents is '\[UNK\]'"):
        held_out(unknown, examples="full_sentences")
