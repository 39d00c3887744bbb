import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.model.bert import BertForPretraining, layer_of
from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import make_loss_fn
from bert_jax.training.state import TrainState
from bert_jax.training.step import divide, make_train_step

MODEL = ModelConfig(vocab_size=300, num_layers=2, hidden_size=32, num_heads=4, max_positions=64)


def make(corpus, examples):
    config = DataConfig(sequence_length=64, examples=examples, short_probability=0.5, max_examples=4, nsp_group_size=4)
    batch = Batches(corpus.train, corpus.sources, corpus.tokenizer, config, 0, 32).batch(0)
    model = BertForPretraining(MODEL)
    params = nn.meta.unbox(model.init(jax.random.key(0), batch)["params"])
    # Plain gradient descent: Adam would turn rounding errors of tiny gradients into steps of full size.
    optimizer = optax.sgd(1.0)
    state = TrainState(np.int32(7), params, optimizer.init(params), np.uint32(3))
    loss_fn = make_loss_fn(model, config, corpus.sources)

    def step(parts):
        made = make_train_step(loss_fn, optimizer, lambda _: 0.1, layer_of, parts, config.group_rows)
        return jax.jit(made)(state, batch)

    return step, state


@pytest.mark.parametrize("examples", ["bert", "candidates"])
@pytest.mark.parametrize("parts", [2, 4, 8])
def test_accumulation_is_one_batch(corpus, examples, parts):
    """With dropout, with rows of different numbers of predictions, and with candidates across rows."""
    step, before = make(corpus, examples)
    (whole, metrics), (summed, summed_metrics) = step(1), step(parts)
    for name in metrics:
        np.testing.assert_allclose(summed_metrics[name], metrics[name], rtol=2e-6, err_msg=name)
    paths = jax.tree_util.tree_leaves_with_path(whole.params)
    for (path, x), y, start in zip(paths, jax.tree.leaves(summed.params), jax.tree.leaves(before.params), strict=True):
        moved = np.abs(np.asarray(x) - start).max()
        # The move is a difference of rounded parameters: an error of theirs counts besides one of its own.
        allowed = 1e-5 * moved + 2e-7 * np.abs(start).max()
        assert np.abs(np.asarray(x) - y).max() <= allowed, jax.tree_util.keystr(path)


def test_parts_hold_each_row_once_and_groups_whole():
    rows = np.arange(24)
    parts = np.asarray(divide({"x": rows}, 3, 4)["x"])
    assert parts.shape == (3, 8)
    assert sorted(parts.ravel()) == rows.tolist()
    for group in parts.reshape(-1, 4):
        assert group.tolist() == list(range(group[0], group[0] + 4))
    # A device that has the first half of the rows has the first half of each part but for one group.
    halves = np.asarray(divide({"x": rows}, 3, 2)["x"])
    assert all((part[:4] < 12).all() and (part[4:] >= 12).all() for part in halves)


def test_norms_of_layers_add_up_to_that_of_all(corpus):
    step, _ = make(corpus, "bert")
    _, metrics = step(1)
    layers = {name: value for name, value in metrics.items() if name.startswith("grad_norm/")}
    assert set(layers) == {f"grad_norm/{name}" for name in ("embeddings", "layer_0", "layer_1", "pooler", "mlm", "nsp")}
    total = np.sqrt(sum(float(value) ** 2 for value in layers.values()))
    np.testing.assert_allclose(total, metrics["grad_norm"], rtol=1e-5)
