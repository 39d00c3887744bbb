"""Properties of all composites, with dropout on where nothing else is said."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax import losses, sharding
from bert_jax.model.bert import Bert
from bert_jax.model.composite import Encoded
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import Dropout, token_keys
from bert_jax.model.heads import TokenLabelsHead
from tests.model import composites
from tests.model.unpacking import unpack

SMALL = ModelConfig(vocab_size=300, num_layers=2, hidden_size=32, num_heads=4, max_positions=128)
COMPOSITES = {
    "body": Bert,
    "pretraining": composites.pretraining,
    "sequence": lambda config: composites.sequence(config, 3),
    "token": lambda config: composites.tokens(config, 5),
    "span": composites.spans,
    "choice": composites.choices,
}


def keys_of(batch):
    return token_keys(jnp.uint32(3), jnp.int32(5), batch)


def init(model, batch):
    params = nn.meta.unbox(model.init(jax.random.key(0), batch)["params"])
    return jax.tree.map(lambda x: x * 5 if x.ndim > 1 else x, params)


def by_example(batch, output, slot_axis):
    """What an output says of each example, row by row: slots, or its tokens."""
    found = []
    for row, ids in enumerate(batch["example_ids"]):
        for slot in range(ids.max()):
            found.append(np.asarray(output)[row, slot] if slot_axis else np.asarray(output)[row, ids == slot + 1])
    return found


def own_part(batch, logits):
    """Of scores [B, N, S], each example's for its own tokens."""
    return [scores[scores > -1e30] for scores in by_example(batch, logits, True)]


def described(kind, batch, output):
    """The output of a composite as a list of what it says of each example."""
    if kind == "token":
        return by_example(batch, output["label"], False)
    if kind == "span":
        return own_part(batch, output["span"].start) + own_part(batch, output["span"].end)
    return by_example(batch, output["label"], True)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("sequence", "cls"), ("sequence", "max"), ("sequence", "mean"), ("token", "cls"), ("span", "cls")],
)
def test_packed_equals_unpacked(packed, kind, pooling):
    model = COMPOSITES[kind](dataclasses.replace(SMALL, pooling=pooling))
    params, alone = init(model, packed), unpack(packed, 128)
    left = described(kind, packed, model.apply({"params": params}, packed, keys_of(packed)))
    right = described(kind, alone, model.apply({"params": params}, alone, keys_of(alone)))
    assert len(left) == len(right) >= 12
    for x, y in zip(left, right, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["sequence", "token", "span"])
def test_neighbours_and_padding_change_nothing(packed, kind):
    model = COMPOSITES[kind](SMALL)
    params = init(model, packed)
    other = packed | {"token_ids": packed["token_ids"].copy()}
    strangers = packed["example_ids"] != 2
    other["token_ids"][strangers] = (other["token_ids"][strangers] * 7 + 11) % 300
    left, right = (described(kind, packed, model.apply({"params": params}, batch)) for batch in (packed, other))
    counts = np.cumsum([0, *packed["example_ids"].max(1)])[:-1]
    for example in counts + 1:  # the second of each row
        np.testing.assert_array_equal(left[example], right[example])
    assert not np.array_equal(left[counts[0]], right[counts[0]])


def test_spans_are_scored_within_their_example_and_unused_slots_stay_finite(packed):
    model = composites.spans(SMALL)
    output = model.apply({"params": init(model, packed)}, packed)["span"]
    inside = packed["example_ids"][:, None, :] == np.arange(1, 5)[:, None]
    for logits in (output.start, output.end):
        assert logits.shape == inside.shape
        shares = np.asarray(jax.nn.softmax(logits, axis=-1))
        used = inside.any(-1)
        assert used.sum() >= 12
        assert (shares[used][~inside[used]] == 0).all()
        assert (shares[used][inside[used]] > 0).all()
        nothing = losses.cross_entropies(logits, jnp.zeros(logits.shape[:2], jnp.int32))[~used]
        assert np.isfinite(nothing).all()


def test_heads_drop_by_the_example_as_bert_does(packed):
    """Dropout before the classifiers, none before the next-sentence and span scores."""
    quiet = dataclasses.replace(SMALL, attention_dropout=0.0)
    loud = dataclasses.replace(quiet, dropout=0.5)
    keys = keys_of(packed)
    head = TokenLabelsHead(loud, 3, loud.dropout)
    x = jax.random.normal(jax.random.key(1), (*keys.shape, 32))
    encoded = Encoded(x, lambda: None, None, None, None)
    params = head.init(jax.random.key(0), encoded, packed)["params"]
    whole, dropped = (
        head.apply({"params": params}, dataclasses.replace(encoded, dropout_keys=k), packed) for k in (None, keys)
    )
    assert float(jnp.abs(whole - dropped).mean()) > 0.3 * float(jnp.abs(whole).mean())
    for kind, drops in (("sequence", True), ("token", True), ("choice", True), ("pretraining", False), ("span", False)):
        model = COMPOSITES[kind](loud)
        params = init(model, packed)
        given = []

        def spy(next_fun, args, kwargs, context, given=given):
            module = context.module
            if isinstance(module, Dropout) and context.method_name == "__call__" and module.path[0] != "bert":
                given += [args[1]] if module.rate else []
            return next_fun(*args, **kwargs)

        with nn.intercept_methods(spy):
            model.apply({"params": params}, packed, keys)
        assert len(given) == drops, kind
        if kind in ("sequence", "choice"):  # by each example's first token, wherever it stands
            np.testing.assert_array_equal(given[0], np.take_along_axis(keys, packed["cls_positions"], 1))
        elif drops:
            np.testing.assert_array_equal(given[0], keys)


def test_who_does_not_pool_has_no_pooler(packed):
    for kind, pools in (("sequence", True), ("choice", True), ("token", False), ("span", False)):
        params = jax.eval_shape(COMPOSITES[kind](SMALL).init, jax.random.key(0), packed)["params"]
        assert ("pooler" in params["bert"]) == pools


def test_the_body_moves_from_one_composite_to_another(packed):
    pretrained = init(composites.pretraining(SMALL), packed)
    classifier = composites.sequence(SMALL, 3)
    moved = init(classifier, packed) | {"bert": pretrained["bert"]}
    _, pooled = Bert(SMALL).apply({"params": pretrained["bert"]}, packed)
    for model, params, head in ((composites.pretraining(SMALL), pretrained, "nsp"), (classifier, moved, "label")):
        dense = params[head]["dense"]
        expected = pooled @ dense["kernel"] + dense["bias"]
        np.testing.assert_allclose(model.apply({"params": params}, packed)[head], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", COMPOSITES)
def test_every_axis_has_a_name_in_the_table(packed, kind):
    config = dataclasses.replace(SMALL, norm_position="pre")
    boxed = jax.eval_shape(lambda: COMPOSITES[kind](config).init(jax.random.key(0), packed)["params"])
    known = {name for name, _ in sharding.LOGICAL_AXIS_RULES}
    for leaf in jax.tree.leaves(boxed, is_leaf=lambda x: isinstance(x, nn.LogicallyPartitioned)):
        assert len(leaf.names) == leaf.value.ndim
        assert set(leaf.names) <= known
        assert len(set(leaf.names)) == len(leaf.names)
