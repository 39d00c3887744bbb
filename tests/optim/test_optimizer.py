import os
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax import configuration, sharding
from bert_jax.data.config import DataConfig
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.learner import Learner
from bert_jax.optim.optimizer import OPTIMIZERS, OptimizerConfig, decays, make_optimizer, make_schedule
from bert_jax.tasks.pretraining import make_objectives
from bert_jax.training.state import create_state
from tests.optim.test_schedules import rates

STEPS = 20


def random_tree(seed: int, scale: float = 1.0) -> dict:
    """Float64 arrays shaped like a layer and a word table: a fused kernel, other kernels, biases and a layer norm."""
    rng = np.random.default_rng(seed)

    def array(*shape):
        return scale * rng.normal(size=shape)

    layer = {
        "query_key_value": {"kernel": array(8, 2, 3, 4), "bias": array(2, 3, 4)},
        "output": {"kernel": array(2, 4, 8), "bias": array(8)},
        "norm": {"scale": array(8), "bias": array(8)},
    }
    feed_forward = {"intermediate": {"kernel": array(8, 16)}, "output": {"kernel": array(16, 8)}}
    word = array(11, 8)
    return {"bert": {"encoder": {"layer_0": layer | {"feed_forward": feed_forward}}, "embeddings": {"word": word}}}


MATRICES = 6  # in attention and feed-forward: queries, keys, values, and three others


def apart(tree: dict) -> list[np.ndarray]:
    """Each weight matrix of `random_tree`, the word table last, then each vector."""
    layer = tree["bert"]["encoder"]["layer_0"]
    fused, biases = layer["query_key_value"]["kernel"], layer["query_key_value"]["bias"]
    feed_forward = layer["feed_forward"]
    own = [part["kernel"] for part in (layer["output"], feed_forward["intermediate"], feed_forward["output"])]
    matrices = [fused[:, :, 0], fused[:, :, 1], fused[:, :, 2], *own, tree["bert"]["embeddings"]["word"]]
    vectors = [biases[:, 0], biases[:, 1], biases[:, 2], layer["output"]["bias"]]
    vectors += [layer["norm"]["scale"], layer["norm"]["bias"]]
    return [np.asarray(x, np.float64) for x in matrices + vectors]


def newton_schulz(matrix: np.ndarray) -> np.ndarray:
    """Muon's five steps, by their effect on singular values: near singular vectors, nothing is lost to rounding."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / (np.linalg.norm(values) + 1e-7)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left * values @ right


def muon_step(mean: np.ndarray, gradient: np.ndarray, momentum: float) -> np.ndarray:
    """Of a matrix, or of a kernel [embed, heads, head] or [heads, head, embed]."""
    ahead = momentum * mean + (1 - momentum) * gradient
    matrix = ahead.reshape((8, -1) if ahead.shape[0] == 8 else (-1, 8))
    return (0.2 * np.sqrt(max(matrix.shape)) * newton_schulz(matrix)).reshape(ahead.shape)


def expected_weights(config: OptimizerConfig, grads: list[dict], rate: list[float]) -> list[np.ndarray]:
    """The papers' formulas, matrix by matrix, in float64."""
    w = apart(random_tree(0))
    m, v = [np.zeros_like(x) for x in w], [np.zeros_like(x) for x in w]
    for t, tree in enumerate(grads, start=1):
        g = apart(tree)
        norm = np.sqrt(sum((x * x).sum() for x in g))
        if config.clip_norm:
            g = [x * config.clip_norm / max(norm, config.clip_norm) for x in g]
        for i in range(len(w)):
            by_muon, step = config.name == "muon" and i < MATRICES, rate[t - 1]
            b1 = config.muon_momentum if by_muon else config.b1
            m[i] = b1 * m[i] + (1 - b1) * g[i]
            v[i] = config.b2 * v[i] + (1 - config.b2) * g[i] ** 2
            mean, square = m[i], v[i]
            if config.name != "bert_adam":
                mean, square = mean / (1 - config.b1**t), square / (1 - config.b2**t)
            u = muon_step(m[i], g[i], b1) if by_muon else mean / (np.sqrt(square) + config.epsilon)
            if i <= MATRICES:
                u = u + config.weight_decay * w[i]
                if config.name == "lamb":
                    u = u * np.linalg.norm(w[i]) / np.linalg.norm(u)
            if config.name == "stable_adamw":
                step /= max(1, np.sqrt(np.mean(g[i] ** 2 / np.maximum(square, config.epsilon**2))))
            w[i] = w[i] - step * u
    return w


def run(config: OptimizerConfig, grads: list[dict], schedule: optax.Schedule, dtype) -> dict:
    """The weights after all steps."""
    optimizer = make_optimizer(config, schedule)

    def cast(tree):
        return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)

    params = cast(random_tree(0))
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for tree in grads:
        updates, state = update(cast(tree), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("clip", [0.0, 5.0])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_follow_their_definitions(name, clip):
    config = OptimizerConfig(name=name, learning_rate=0.02, weight_decay=0.3, clip_norm=clip, warmup_ratio=0.2)
    grads = [random_tree(seed, scale=0.1 * seed) for seed in range(1, STEPS + 1)]  # some are clipped, some are not
    norms = [float(optax.tree.norm(tree)) for tree in grads]
    assert min(norms) < 5 < max(norms)
    rate = [0.02 * t / 4 if t < 4 else 0.02 * (1 - (t - 4) / 16) for t in range(STEPS)]
    expected = expected_weights(config, grads, rate)

    def found(dtype) -> list[np.ndarray]:
        # Rates from a table: a schedule's are float32 whatever `dtype` is.
        return apart(run(config, grads, lambda step: jnp.asarray(rate, dtype)[step], dtype))

    with jax.enable_x64(True):
        exact = found(jnp.float64)
    for in_float64, in_float32, weights in zip(exact, found(jnp.float32), expected, strict=True):
        assert np.linalg.norm(in_float64 - weights) <= 1e-14 * np.linalg.norm(weights)
        assert np.linalg.norm(in_float32 - weights) <= 1e-6 * np.linalg.norm(weights)


def test_berts_first_step_is_not_corrected():
    config = OptimizerConfig(name="bert_adam", learning_rate=1.0, warmup_steps=0, clip_norm=0.0, epsilon=1e-12)
    params = {"bias": jnp.zeros(3)}
    optimizer = make_optimizer(config, make_schedule(config, 1000))
    updates, _ = optimizer.update({"bias": jnp.array([0.5, -2.0, 3.0])}, optimizer.init(params), params)
    np.testing.assert_allclose(updates["bias"], -0.1 / np.sqrt(0.001) * np.array([1, -1, 1]), rtol=1e-5)


def test_adamw_is_optax_adamw_to_the_bit():
    config = OptimizerConfig(learning_rate=0.1)
    schedule = make_schedule(config, 100)
    mine = make_optimizer(config, schedule)
    theirs = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, 0.9, 0.999, 1e-6, weight_decay=0.01, mask=decays)
    )
    params = jax.tree.map(jnp.float32, random_tree(0))
    states = [mine.init(params), theirs.init(params)]
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    for seed in range(3):
        grads = jax.tree.map(jnp.float32, random_tree(seed))
        updates, states = zip(
            *(optimizer.update(grads, state, params) for optimizer, state in zip((mine, theirs), states, strict=True)),
            strict=True,
        )
        jax.tree.map(np.testing.assert_array_equal, *updates)


def test_a_phase_changes_the_rate_and_keeps_the_means():
    """Adam divides by 1 − b^t over the whole run, so a phase is the same as another rate at those steps."""
    grads = [random_tree(seed) for seed in range(1, STEPS + 1)]
    config = OptimizerConfig(name="lamb", learning_rate=0.1, warmup_ratio=0.25, phases="12: learning_rate=0.05")
    with jax.enable_x64(True):
        rate = rates(config, STEPS)
        found = run(config, grads, make_schedule(config, STEPS), jnp.float64)
    assert rate[12] == 0
    assert rate[14] == pytest.approx(0.05)
    for weights, expected in zip(apart(found), expected_weights(config, grads, rate), strict=True):
        assert np.linalg.norm(weights - expected) <= 1e-6 * np.linalg.norm(expected)  # rates are float32


def small_model():
    config = ModelConfig(vocab_size=20, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16, max_positions=8)
    return Learner(config, make_objectives(DataConfig())).init


def test_biases_and_norms_do_not_decay():
    params = {"a": {"kernel": 1, "bias": 1}, "norm": {"scale": 1, "bias": 1}, "word": 1}
    assert decays(params) == {
        "a": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
        "word": True,
    }


def test_the_model_decays_where_it_has_matrices():
    boxed = jax.eval_shape(small_model(), jax.random.key(0))
    plain = nn.meta.unbox(boxed)
    assert jax.tree.leaves(decays(boxed)) == jax.tree.leaves(decays(plain))
    for (path, decay), (_, leaf) in zip(
        jax.tree_util.tree_leaves_with_path(decays(plain)), jax.tree_util.tree_leaves_with_path(plain), strict=True
    ):
        biases = 3 if "query_key_value" in jax.tree_util.keystr(path) else 1  # one a head, for each of q, k and v
        assert decay == (leaf.ndim > biases), path


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_is_arrays_placed_like_the_parameters(name):
    config = OptimizerConfig(name=name)
    optimizer = make_optimizer(config, make_schedule(config, 10))
    make, shapes = create_state(small_model(), optimizer, 0, sharding.make_mesh(sharding.MeshConfig()))
    state = make({})
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state.opt_state))
    placed = {str(leaf.sharding.spec) + str(leaf.shape) for leaf in jax.tree.leaves(shapes.params)}
    arrays = [leaf for leaf in jax.tree.leaves(shapes.opt_state) if leaf.ndim]
    kernels = 4 if name == "muon" else 0  # these have no mean of squares
    assert len(arrays) == 2 * len(jax.tree.leaves(state.params)) - kernels
    assert {str(leaf.sharding.spec) + str(leaf.shape) for leaf in arrays} == placed


@pytest.mark.parametrize(
    ("field", "values"),
    {
        "learning_rate": ("0", "-1", "nan", "inf"),
        "schedule": ("Linear",),
        "warmup_ratio": ("-0.1", "1", "nan"),
        "warmup_steps": ("-1",),
        "decay_from": ("end",),
        "power": ("0", "nan", "inf"),
        "decay_ratio": ("-0.1", "1.1", "nan"),
        "final_rate": ("-0.1", "1.1", "nan"),
        "phases": ("5", "5: b1=0.8", "5: name=lamb", "5: learning_rate=x", "5: rate=1", "5: phases=x"),
        "name": ("adam",),
        "b1": ("1", "-1", "nan"),
        "b2": ("1", "-1", "nan"),
        "muon_momentum": ("1", "-1", "nan"),
        "muon_dtype": ("float16",),
        "mean_decay": ("1", "-1", "nan"),
        "epsilon": ("0", "-1", "nan", "inf"),
        "weight_decay": ("-1", "nan", "inf"),
        "clip_norm": ("-1", "nan", "inf"),
    }.items(),
)
def test_problems_are_named(field, values):
    for value in values:
        config = OptimizerConfig(name="muon" if field.startswith("muon") else "adamw")
        configuration.replace(config, field, configuration.parse(config, field, value))
        (problem,) = config.problems()
        assert f"optimizer.{field}" in problem or f"config field '{value[3:7]}'" in problem or "learning_rate=" in value
        assert problem.endswith((".", "?"))


def test_the_defaults_have_no_problems():
    assert OptimizerConfig().problems() == []
    assert len(configuration.fields(OptimizerConfig())) == 23


SHARDED = """
import jax, numpy as np, optax, re
from jax.sharding import NamedSharding, PartitionSpec as P
from bert_jax import sharding
from bert_jax.optim.muon import scale_by_muon
from bert_jax.optim.optimizer import OPTIMIZERS, OptimizerConfig, make_optimizer, make_schedule

assert jax.device_count() == 4
mesh = sharding.make_mesh(sharding.MeshConfig(data=1, fsdp=2, tensor=2))
specs = {
    "query_key_value": {"kernel": P("fsdp", "tensor"), "bias": P("tensor")},
    "output": {"kernel": P("tensor", None, "fsdp")},
    "intermediate": {"kernel": P("fsdp", "tensor")},
    "norm": {"scale": P("fsdp")},
}
rng = np.random.default_rng(0)

def draw():
    layer = {
        "query_key_value": {"kernel": rng.normal(size=(8, 2, 3, 4)), "bias": rng.normal(size=(2, 3, 4))},
        "output": {"kernel": rng.normal(size=(2, 4, 8))},
        "intermediate": {"kernel": rng.normal(size=(8, 16))},
        "norm": {"scale": rng.normal(size=8)},
    }
    return {"bert": {"encoder": {"layer_0": layer}, "embeddings": {"word": rng.normal(size=(12, 8))}}}

trees = [jax.tree.map(np.float32, draw()) for _ in range(11)]
specs_of_kernels = {name: spec for name, spec in specs.items() if "kernel" in spec}
specs = {"bert": {"encoder": {"layer_0": specs}, "embeddings": {"word": P("tensor", "fsdp")}}}

def run(name, place):
    config = OptimizerConfig(name=name, learning_rate=0.1)
    optimizer = make_optimizer(config, make_schedule(config, 10))
    params = place(trees[0])
    state = jax.jit(optimizer.init)(params)

    @jax.jit
    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for grads in trees[1:]:
        params, state = step(params, state, place(grads))
    return params

for name in OPTIMIZERS:
    alone = run(name, lambda tree: jax.device_put(tree, jax.devices()[0]))
    with jax.set_mesh(mesh):
        cut = run(name, lambda tree: jax.tree.map(lambda x, s: jax.device_put(x, NamedSharding(mesh, s)), tree, specs))
    word = cut["bert"]["embeddings"]["word"]
    assert len(word.sharding.device_set) == 4 and word.addressable_shards[0].data.shape == (6, 4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), alone, cut)

# Whole matrices go to one device each, and back; none gathers a stack.
layer = trees[0]["bert"]["encoder"]["layer_0"]
kernels = {"layer_%d" % i: {name: {"kernel": layer[name]["kernel"]} for name in specs_of_kernels} for i in range(3)}
shardings = {name: {"kernel": NamedSharding(mesh, specs_of_kernels[name]["kernel"])} for name in specs_of_kernels}
shardings = {name: shardings for name in kernels}
muon = scale_by_muon(0.95, "float32")
with jax.set_mesh(mesh):
    placed = {"in_shardings": (shardings,), "out_shardings": shardings}
    direction = jax.jit(lambda tree: muon.update(tree, muon.init(tree))[0], **placed)
    text = direction.lower(kernels).compile().as_text()
assert " all-to-all(" in text and not re.search("all-gather|collective-permute|all-reduce", text)
"""


def test_parameters_cut_over_devices_learn_the_same():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SHARDED], capture_output=True, text=True, env=os.environ | flags)
    assert done.returncode == 0, done.stderr
