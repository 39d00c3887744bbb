"""The model of `tests/golden/google`: its sizes and numbers, and what BERT computes, in NumPy."""

import zlib

import numpy as np
from scipy.special import erf

LAYERS, HEADS, SIZE, INNER, WORDS, POSITIONS, TYPES, LABELS = 2, 2, 8, 12, 16, 9, 2, 3


def value(name, shape):
    """The numbers of a variable, which depend on its name alone."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(0, 0.5, shape).astype(np.float32)


def dense(tensors, name, inputs):
    return inputs @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def norm(tensors, name, inputs):
    centred = inputs - inputs.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sequence(tensors, ids, types, mask):
    """The last hidden states [B, S, H], from tensors by Hugging Face's names."""
    tables = [tensors[f"bert.embeddings.{name}_embeddings.weight"] for name in ("word", "token_type", "position")]
    states = norm(tensors, "bert.embeddings.LayerNorm", tables[0][ids] + tables[1][types] + tables[2][: ids.shape[1]])
    for layer in range(LAYERS):
        at = f"bert.encoder.layer.{layer}"
        query, key, values = (
            dense(tensors, f"{at}.attention.self.{name}", states).reshape(*ids.shape, HEADS, -1)
            for name in ("query", "key", "value")
        )
        scores = np.einsum("bqnd,bknd->bnqk", query, key) / np.sqrt(query.shape[-1])
        weights = softmax(np.where(mask[:, None, None, :], scores, -1e9))
        context = np.einsum("bnqk,bknd->bqnd", weights, values).reshape(states.shape)
        attended = dense(tensors, f"{at}.attention.output.dense", context)
        states = norm(tensors, f"{at}.attention.output.LayerNorm", states + attended)
        inner = gelu(dense(tensors, f"{at}.intermediate.dense", states))
        states = norm(tensors, f"{at}.output.LayerNorm", states + dense(tensors, f"{at}.output.dense", inner))
    return states


def pooled(tensors, states):
    return np.tanh(dense(tensors, "bert.pooler.dense", states[:, 0]))


def masked_words(tensors, states, positions):
    chosen = np.take_along_axis(states, positions[..., None], 1)
    name = "cls.predictions.transform"
    chosen = norm(tensors, f"{name}.LayerNorm", gelu(dense(tensors, f"{name}.dense", chosen)))
    return chosen @ tensors["bert.embeddings.word_embeddings.weight"].T + tensors["cls.predictions.bias"]
