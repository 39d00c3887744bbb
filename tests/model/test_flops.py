import dataclasses

import numpy as np
import pytest

from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import body_flops
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.spans import Spans
from tests.model.composites import pretraining_learner

BASE = ModelConfig(vocab_size=30_522)
LARGE = ModelConfig(vocab_size=30_522, num_layers=24, hidden_size=1024, num_heads=16)


@pytest.mark.parametrize(
    ("config", "length", "predictions", "millions_a_token"),
    [(BASE, 128, 20, 546), (BASE, 512, 76, 588), (LARGE, 128, 20, 1880), (LARGE, 512, 76, 1992), (BASE, 128, 128, 668)],
)
def test_known_models(config, length, predictions, millions_a_token):
    batch = {
        "example_ids": np.ones((3, length), np.int32),
        "cls_positions": np.zeros((3, 1), np.int32),
        "masked_weights": np.ones((3, predictions), np.float32),
        "nsp_weights": np.ones((3, 1), np.float32),
    }
    assert pretraining_learner(config).flops(batch) / (3 * length) / 1e6 == pytest.approx(millions_a_token, abs=1)


def test_padding_is_no_work_and_examples_do_not_span_each_other():
    apart = {
        "example_ids": np.array([[1] * 5 + [0] * 3, [1] * 3 + [0] * 5], np.int32),
        "cls_positions": np.zeros((2, 1), np.int32),
        "masked_weights": np.array([[1, 0], [1, 1]], np.float32),
        "nsp_weights": np.ones((2, 1), np.float32),
    }
    packed = {
        "example_ids": np.array([[1] * 5 + [2] * 3], np.int32),
        "cls_positions": np.zeros((1, 2), np.int32),
        "masked_weights": np.ones((1, 3), np.float32),
        "nsp_weights": np.ones((1, 2), np.float32),
    }
    assert pretraining_learner(BASE).flops(apart) == pretraining_learner(BASE).flops(packed)


@pytest.mark.parametrize(
    ("objective", "pooling", "multiplications"),
    [
        (Labels(names=("a", "b", "c")), "cls", 3 * 768 * 768 + 2 * 768 * 3),  # three are pooled, two count
        (Labels(names=("a", "b", "c")), "mean", 2 * 768 * 3),
        (Labels(names=("a", "b", "c"), of_tokens=True, name="tag"), "cls", 5 * 768 * 3),  # five tokens count
        (Spans(), "cls", 9 * 768 * 2),  # every token is scored
        (Choices(), "cls", 3 * 768 * 768 + 2 * 768),  # three are pooled, two are candidates
    ],
    ids=str,
)
def test_heads_work_on_what_counts(objective, pooling, multiplications):
    config = dataclasses.replace(BASE, pooling=pooling)
    batch = {
        "example_ids": np.array([[1] * 5 + [2] * 3 + [3]], np.int32),
        "cls_positions": np.zeros((1, 4), np.int32),
        "label_weights": np.array([[1, 1, 0, 0]], np.float32),
        "tag_weights": np.array([[0, 1, 1, 1, 0, 0, 1, 1, 0]], np.float32),
        "span_weights": np.ones((1, 4), np.float32),
        "choice_weights": np.array([[0.5, 0.5, 0, 0]], np.float32),
    }
    head = Learner(config, (objective,)).flops(batch) - body_flops(config, batch)
    assert head == pytest.approx(6 * multiplications)  # 2 for each forward, 4 backward
