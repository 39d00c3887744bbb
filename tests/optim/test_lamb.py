import jax
import jax.numpy as jnp
import numpy as np
import optax

from bert_jax.optim.lamb import scale_by_trust_ratios
from bert_jax.optim.optimizer import OptimizerConfig, make_optimizer, make_schedule


def trained(params: dict, grads: list[dict]) -> dict:
    """The parameters after a step of LAMB for each of `grads`."""
    config = OptimizerConfig(name="lamb", learning_rate=0.1, weight_decay=0.1)
    optimizer = make_optimizer(config, make_schedule(config, len(grads)))
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for tree in grads:
        updates, state = update(tree, state, params)
        params = optax.apply_updates(params, updates)
    return params


def drawn(shape: tuple[int, ...], seed: int) -> jax.Array:
    """Matrices of different sizes along axis -2, so that one trust ratio for all would be another."""
    rng = np.random.default_rng(seed)
    sizes = np.arange(1, shape[-2] + 1)[:, None] ** 2
    return jnp.asarray(rng.normal(size=shape) * sizes, jnp.float32)


def test_fused_matrices_are_matrices_apart():
    fused = [{"query_key_value": {"kernel": drawn((8, 2, 3, 4), seed)}} for seed in range(11)]
    names = ("query", "key", "value")
    apart = [
        {name: {"kernel": tree["query_key_value"]["kernel"][..., i, :]} for i, name in enumerate(names)}
        for tree in fused
    ]
    found, expected = trained(fused[0], fused[1:]), trained(apart[0], apart[1:])
    for i, name in enumerate(names):
        np.testing.assert_allclose(
            found["query_key_value"]["kernel"][..., i, :], expected[name]["kernel"], rtol=1e-6, atol=1e-6
        )


def test_scanned_layers_are_layers_apart():
    def layer(seed: int) -> dict:
        bias = drawn((2, 3, 4), seed + 100)
        return {
            "query_key_value": {"kernel": drawn((8, 2, 3, 4), seed), "bias": bias},
            "output": {"kernel": drawn((6, 5), seed + 200) * seed},
            "norm": {"scale": bias[0, 0]},
        }

    def stack(layers: list[dict]) -> dict:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)

    trees = [[layer(10 * step + i) for i in range(1, 4)] for step in range(11)]
    scanned = trained({"layers": stack(trees[0])}, [{"layers": stack(layers)} for layers in trees[1:]])
    unrolled = [{f"layer_{i}": layer for i, layer in enumerate(layers)} for layers in trees]
    expected = trained(unrolled[0], unrolled[1:])
    jax.tree.map(
        lambda found, wanted: np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6),
        scanned["layers"],
        stack(list(expected.values())),
    )


def test_a_norm_of_zero_leaves_the_update_alone():
    transform = scale_by_trust_ratios()
    ones, zeros = jnp.ones((2, 3)), jnp.zeros((2, 3))
    params, updates = {"a": zeros, "b": 2 * ones, "c": 4 * ones}, {"a": ones, "b": zeros, "c": ones}
    scaled, _ = transform.update(updates, transform.init(params), params)
    for name, expected in (("a", ones), ("b", zeros), ("c", 4 * ones)):
        np.testing.assert_array_equal(scaled[name], expected)


def test_biases_and_norms_have_no_trust_ratio():
    """Their step is Adam's, of size 1 at first, however large they are."""
    params = {"a": {"bias": jnp.full(3, 50.0)}, "norm": {"scale": jnp.full(3, 50.0)}, "word": jnp.full((2, 3), 50.0)}
    config = OptimizerConfig(name="lamb", learning_rate=1.0, warmup_steps=0, weight_decay=0.5, clip_norm=0.0, b2=0.9)
    optimizer = make_optimizer(config, make_schedule(config, 10))
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    np.testing.assert_allclose(updates["a"]["bias"], -1, rtol=1e-5)
    np.testing.assert_allclose(updates["norm"]["scale"], -1, rtol=1e-5)
    np.testing.assert_allclose(updates["word"], -50, rtol=1e-5)
