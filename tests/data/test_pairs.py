import pytest

from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.data.pairs import check_pairs
from bert_jax.errors import CorpusError
from tests.data.splits import MANY, ONE_DOCUMENT, ONE_OF_SEVERAL_SENTENCES, ONE_SENTENCE_EACH, split_of

COMPARED = "there is one document"
ALONE = "no example has two sentences"


def check(corpus, split, examples, sources=("a",)):
    config = DataConfig(sequence_length=32, examples=examples)
    batches = Batches(split, sources, corpus.tokenizer, config, 0, 8)
    check_pairs(batches, "training", "Add documents")


@pytest.mark.parametrize("examples", ["bert", "balanced", "sentence_order", "full_sentences", "candidates"])
def test_several_documents_of_several_sentences_will_do(corpus, examples):
    check(corpus, split_of(MANY), examples)


@pytest.mark.parametrize(
    ("documents", "examples", "cause"),
    [
        (ONE_DOCUMENT, "bert", COMPARED),
        (ONE_DOCUMENT, "balanced", COMPARED),
        (ONE_DOCUMENT, "candidates", COMPARED),
        (ONE_SENTENCE_EACH, "bert", ALONE),
        (ONE_SENTENCE_EACH, "balanced", ALONE),
        (ONE_SENTENCE_EACH, "sentence_order", ALONE),
        (ONE_SENTENCE_EACH, "candidates", ALONE),
        (ONE_OF_SEVERAL_SENTENCES, "candidates", "only one document has two sentences"),
    ],
)
def test_text_that_teaches_nothing_is_refused_with_its_cause(corpus, documents, examples, cause):
    counted = rf"The training documents \({len(documents)}\) give no pairs"
    with pytest.raises(CorpusError, match=rf"{counted}.*{cause}.*Add documents.*full_sentences"):
        check(corpus, split_of(documents), examples)


@pytest.mark.parametrize(
    ("documents", "examples"),
    [
        (ONE_DOCUMENT, "sentence_order"),  # its pairs are of one document anyway
        (ONE_DOCUMENT, "full_sentences"),
        (ONE_SENTENCE_EACH, "full_sentences"),
        (ONE_OF_SEVERAL_SENTENCES, "bert"),
    ],
)
def test_what_an_objective_does_not_need_is_not_asked_for(corpus, documents, examples):
    check(corpus, split_of(documents), examples)


def test_one_source_with_pairs_is_enough_but_documents_of_different_sources_are_no_rivals(corpus):
    """Other segments come from the same source."""
    poor_and_rich = split_of([*ONE_SENTENCE_EACH, *MANY], sources=[0] * len(ONE_SENTENCE_EACH) + [1] * len(MANY))
    apart = split_of([[5] * 50] * 2, sources=[0, 1])
    for examples in ("bert", "candidates"):
        check(corpus, poor_and_rich, examples, ("a", "b"))
        with pytest.raises(CorpusError, match=COMPARED):
            check(corpus, apart, examples, ("a", "b"))
