import dataclasses
import json
import tracemalloc

import numpy as np
import pytest

from bert_jax.errors import CheckpointError, ConfigError, TokenizerError
from bert_jax.inspection.layers import layer_names, layer_predictions, layer_probes
from bert_jax.inspection.spectra import effective_rank, isotropy, singular_values
from bert_jax.objectives.masked_words import MaskedWords
from tests.inspection.small import model


@pytest.mark.parametrize("norm_position", ["post", "pre"])
def test_the_last_layer_predicts_what_the_model_does(norm_position):
    bert = model(MaskedWords(), norm_position=norm_position)
    text = "the [MASK] sat [MASK]"
    found = layer_predictions(bert, text, mask=1, top=3)
    guesses = bert.fill_mask(text, top=3)[1]
    assert found.words[-1] == [guess.word for guess in guesses]
    np.testing.assert_allclose(found.probabilities[-1], [guess.probability for guess in guesses], rtol=1e-4)
    np.testing.assert_allclose(found.final[-1], guesses[0].probability, rtol=1e-4)
    assert (len(found.words), found.probabilities.shape) == (3, (3, 3))
    assert layer_names(3) == ["embeddings", "layer 0", "layer 1"]
    with pytest.raises(TokenizerError, match="has 2 \\[MASK\\], so there is none with number 2"):
        layer_predictions(bert, text, mask=2)


@pytest.mark.parametrize("norm_position", ["post", "pre"])
def test_an_earlier_layer_predicts_what_the_model_would_that_ends_there(norm_position):
    """With the same final norm, if there is one: the embeddings and layer 0 alone."""
    bert = model(MaskedWords(), norm_position=norm_position)
    found = layer_predictions(bert, "the [MASK] sat", top=3)
    encoder = bert.params["bert"]["encoder"]
    for num_layers in (0, 1):
        kept = {name: part for name, part in encoder.items() if "layer_" not in name or name < f"layer_{num_layers}"}
        params = bert.params | {"bert": bert.params["bert"] | {"encoder": kept}}
        config = dataclasses.replace(bert.config, num_layers=num_layers)
        guesses = dataclasses.replace(bert, params=params, config=config).fill_mask("the [MASK] sat", top=3)[0]
        assert found.words[num_layers] == [guess.word for guess in guesses]
        np.testing.assert_allclose(found.probabilities[num_layers], [guess.probability for guess in guesses], rtol=1e-4)


def test_a_model_without_words_predicts_none():
    with pytest.raises(CheckpointError, match="not trained to predict words"):
        layer_predictions(model(), "the [MASK]")


def test_probes_read_a_label_from_the_layer_that_has_it(tmp_path):
    """The label is whether there is a cat: the mean of the embeddings tells it. Labels by chance are not told."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(200):
        words = rng.choice(["the", "sat", "down", "dog", "unhappy"], 8).tolist()
        if i % 2:
            words[int(rng.integers(8))] = "cat"
        rows.append({"text": " ".join(words), "label": "cat" if i % 2 else "none", "chance": int(rng.integers(2))})
    bert = model()
    for label, least, most in (("label", 0.9, 1.0), ("chance", 0.2, 0.8)):
        file = tmp_path / f"{label}.jsonl"
        lines = [json.dumps({"text": row["text"], "label": str(row[label])}) for row in rows]
        file.write_text("\n".join(lines))
        found = layer_probes(bert, file)
        assert found.accuracy.shape == found.macro_f1.shape == (3,)
        assert least <= found.accuracy[0] <= most, label
        assert 0.3 < found.majority_accuracy < 0.7
        assert found.num_fitted + found.num_scored == 200


def test_singular_values_are_those_of_each_matrix():
    params = model().params
    found = singular_values(params)
    layer = params["bert"]["encoder"]["layer_1"]
    for part, name in enumerate(("query", "key", "value")):
        own = np.asarray(layer["attention"]["query_key_value"]["kernel"])[:, :, part].reshape(16, 16)
        expected = np.linalg.svd(own, compute_uv=False)
        np.testing.assert_allclose(found[f"bert/encoder/layer_1/attention/{name}/kernel"], expected, atol=1e-6)
    table = np.linalg.svd(np.asarray(params["bert"]["embeddings"]["word"]), compute_uv=False)
    np.testing.assert_allclose(found["bert/embeddings/word"], table, atol=1e-6)
    assert len(found["bert/encoder/layer_0/attention/output/kernel"]) == 16
    assert not [name for name in found if "bias" in name or "norm" in name]


def test_the_effective_rank_counts_equal_values():
    assert effective_rank(np.array([2.0, 2, 2, 0])) == pytest.approx(3)
    assert 1 < effective_rank(np.array([10.0, 0.1])) < 1.1


def test_isotropy_is_that_of_tokens_of_different_texts():
    bert = model()
    texts = ["the cat sat", "unhappy dogs", "down"]
    found = isotropy(bert, texts)
    states = [one.hidden_states[1] for one in bert.encode(texts)]
    cosines = [
        float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        for i, first in enumerate(states)
        for second in states[i + 1 :]
        for a in first
        for b in second
    ]
    assert found.cosine[1] == pytest.approx(np.mean(cosines), abs=1e-5)
    everything = np.concatenate(states)
    values = np.linalg.svd(everything - everything.mean(0), compute_uv=False)
    assert found.effective_rank[1] == pytest.approx(effective_rank(values), rel=1e-4)
    assert found.num_tokens == 14
    with pytest.raises(ConfigError, match="give at least two, not 1"):
        isotropy(bert, texts[:1])


def test_isotropy_keeps_neither_maps_nor_the_vectors_of_all_texts():
    bert = model()
    texts = ["the cat sat down . " * 11] * 256  # 57 tokens: the maps of all of them have 16 MB, their vectors 3
    isotropy(bert, texts[:16])  # compiles
    tracemalloc.start()
    isotropy(bert, texts)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.5e6


def test_vectors_that_point_one_way_are_not_isotropic():
    bert = model(num_layers=1)
    shifted = dict(bert.params["bert"]["embeddings"])
    shifted["layer_norm"] = shifted["layer_norm"] | {"bias": np.full(16, 50, np.float32)}
    narrow = bert.params | {"bert": bert.params["bert"] | {"embeddings": shifted}}
    found = isotropy(dataclasses.replace(bert, params=narrow), ["the cat", "dogs sat"])
    assert found.cosine[0] > 0.98
