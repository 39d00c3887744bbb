"""What is found inside a model, and what PyTorch finds in `transformers`' with the same parameters."""

import numpy as np
import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("transformers", reason=WHY)

from bert_jax.inspection.attention import attention_maps  # noqa: E402
from bert_jax.inspection.attribution import word_gradients  # noqa: E402
from bert_jax.inspection.targets import Class, MaskedWord  # noqa: E402
from bert_jax.objectives.masked_words import MaskedWords  # noqa: E402
from bert_jax.objectives.sentence_pairs import SentencePairs  # noqa: E402
from tests.inspection.small import model  # noqa: E402
from tests.interop import peer  # noqa: E402

TOLERANCE = 1e-5  # of the largest number
PAIR = ("the unhappy cat [MASK] down.", "dogs sat.")


@pytest.fixture(scope="module")
def bert():
    return model(MaskedWords(), SentencePairs())


@pytest.fixture(scope="module")
def reference(bert):
    """Their model and its output for the pair, from word vectors whose gradients are kept."""
    reference = peer.loaded(bert.config, bert.params, "eager")
    ids = torch.tensor([_ids(bert)])
    types = (torch.cumsum(ids == bert.tokenizer.sep_id, 1) - (ids == bert.tokenizer.sep_id).long() > 0).long()
    vectors = reference.bert.embeddings.word_embeddings(ids).detach().requires_grad_()
    output = reference(inputs_embeds=vectors, token_type_ids=types, output_attentions=True)
    return output, vectors, ids


def _ids(bert):
    tokenizer = bert.tokenizer
    first, second = (tokenizer.encode_masked(text) for text in PAIR)
    return [tokenizer.cls_id, *first, tokenizer.sep_id, *second, tokenizer.sep_id]


def close(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_attention_maps(bert, reference):
    output, *_ = reference
    found = attention_maps(bert, PAIR)
    close(found.weights, np.concatenate([each.detach().numpy() for each in output.attentions]))


@pytest.mark.parametrize("target", [MaskedWord("sat"), Class("the second text follows")])
def test_gradients_with_respect_to_word_vectors(bert, reference, target):
    output, vectors, ids = reference
    if isinstance(target, MaskedWord):
        (place,) = torch.nonzero(ids[0] == bert.tokenizer.mask_id)[:, 0]
        # A row of the word table without a word is not a word that could stand there.
        logits = output.prediction_logits[0, place, : bert.tokenizer.vocab_size]
        score = logits.log_softmax(-1)[bert.tokenizer.vocabulary.index("sat")]
    else:
        score = output.seq_relationship_logits[0].log_softmax(-1)[0]
    (gradient,) = torch.autograd.grad(score, vectors, retain_graph=True)
    close(word_gradients(bert, PAIR, target), gradient[0].numpy())
