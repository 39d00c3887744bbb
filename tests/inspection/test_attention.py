import tracemalloc

import jax
import numpy as np
import pytest

from bert_jax.data.texts import EncodedTexts, packed_batches
from bert_jax.errors import TokenizerError
from bert_jax.inspection.attention import TextAttention, attention_maps, head_summaries, rollout
from bert_jax.inspection.token_names import readable
from bert_jax.model.bert import Bert
from tests.inspection.small import model
from tests.tokenization.samples import all_kinds

KINDS = all_kinds()
TEXT = "the unhappy cats sat down. the dog."
TOKENS = ["[CLS]", "the", "un", "##happy", "cat", "##s", "sat", "down", ".", "the", "dog", ".", "[SEP]"]


def test_maps_are_of_the_text_alone():
    bert = model()
    found = attention_maps(bert, TEXT)
    assert found.tokens == TOKENS
    assert found.weights.shape == (2, 2, 13, 13)
    assert found.weights.dtype == np.float32
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(found.weights, bert.encode(TEXT).attention_maps, atol=1e-6)


def test_rows_of_512_tokens_show_neither_padding_nor_neighbours():
    """Short texts in a long row, 16 such rows; the output is that of a model that keeps no maps."""
    bert = model(max_positions=512, num_layers=1, num_heads=1)
    rng = np.random.default_rng(0)
    texts = [(rng.integers(5, 14, length).tolist(), ()) for length in [300] * 16 + [10, 100] * 16]
    (packed,) = packed_batches(EncodedTexts.of(texts, 512), bert.tokenizer, 16 * 512)
    batch = packed.batch
    assert batch["token_ids"].shape == (16, 512)
    states, maps = bert.intermediates(batch)
    together = batch["example_ids"][:, :, None] == batch["example_ids"][:, None, :]
    assert (maps * ~together[:, None] == 0).all()
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)
    encode = jax.jit(lambda params: Bert(bert.config).apply({"params": params}, batch, method="encode"))
    plain = encode(bert.params["bert"])
    np.testing.assert_allclose(states[-1], plain, atol=1e-6)


def test_masks_and_pairs():
    bert = model()
    assert attention_maps(bert, "the [MASK] sat.").tokens == ["[CLS]", "the", "[MASK]", "sat", ".", "[SEP]"]
    pair = attention_maps(bert, ("the cat", "dogs"))
    assert pair.tokens == ["[CLS]", "the", "cat", "[SEP]", "dog", "##s", "[SEP]"]
    np.testing.assert_allclose(pair.weights, bert.encode([("the cat", "dogs")])[0].attention_maps, atol=1e-6)
    with pytest.raises(TokenizerError, match="has 102 tokens, but the model takes at most 64"):
        attention_maps(bert, "cat " * 100)


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_tokens_say_which_of_them_go_on_a_word(kind):
    """In the vocabulary of every kind, in place of its own signs."""
    tokenizer = KINDS[kind]
    names = readable(tokenizer, tokenizer.encode("a cat, the cats"))
    assert not any(name != "▁" and sign in name for name in names for sign in "Ġ▁")
    assert "".join(names).replace("##", "").replace("▁", "") == "acat,thecats"
    assert "cat" in names or "c" in names
    assert readable(tokenizer, [tokenizer.cls_id]) == [tokenizer.vocabulary[tokenizer.cls_id]]


def test_rollout_multiplies_the_layers():
    weights = np.array([[[[0.5, 0.5], [0.0, 1.0]]], [[[1.0, 0.0], [0.5, 0.5]]]], np.float32)
    found = rollout(TextAttention(["a", "b"], weights))
    np.testing.assert_allclose(found[0], [[0.75, 0.25], [0, 1]])
    np.testing.assert_allclose(found[1], [[0.75, 0.25], [0.25 * 0.75, 0.25 * 0.25 + 0.75]])


def test_heads_are_summarised():
    tokens = ["[CLS]", "a", "b", "[SEP]"]
    before = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])  # looks at the token before
    even, end = np.full((4, 4), 0.25), np.eye(4)[[3, 3, 3, 3]]
    found = head_summaries(TextAttention(tokens, np.stack([before, even, end])[None].astype(np.float32)))
    np.testing.assert_allclose(found.distance, [[0.75, 1.25, 1.5]])
    np.testing.assert_allclose(found.entropy, [[0, np.log(4), 0]], atol=1e-6)
    np.testing.assert_allclose(found.to_separators, [[0, 0.25, 1]])
    even = (found.even_distance, found.even_entropy, found.even_to_separators)
    np.testing.assert_allclose(even, (found.distance[0, 1], found.entropy[0, 1], found.to_separators[0, 1]))


def test_summaries_and_rollout_take_little_memory_beside_the_maps():
    weights = np.random.default_rng(0).dirichlet(np.ones(128), (8, 16, 128)).astype(np.float32)
    attention = TextAttention(["the"] * 127 + ["[SEP]"], weights)
    for look in (head_summaries, rollout):
        tracemalloc.start()
        look(attention)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < weights.nbytes / 4
