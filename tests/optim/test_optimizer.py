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

    return {
        "layer_0": {
            "query_key_value": {"kernel": array(8, 2, 3, 4), "bias": array(2, 3, 4)},
            "output": {"kernel": array(2, 4, 8), "bias": array(8)},
            "norm": {"scale": array(8), "bias": array(8)},
        },
        "word": array(11, 8),
    }


def apart(tree: dict) -> list[tuple[np.ndarray, bool]]:
    """Each weight matrix and each vector of `random_tree` by itself, and whether it is a matrix."""
    layer = tree["layer_0"]
    fused = layer["query_key_value"]["kernel"]
    matrices = [fused[:, :, 0], fused[:, :, 1], fused[:, :, 2], layer["output"]["kernel"], tree["word"]]
    vectors = [layer["query_key_value"]["bias"], layer["output"]["bias"], layer["norm"]["scale"], layer["norm"]["bias"]]
    return [(np.asarray(x, np.float64), True) for x in matrices] + [(np.asarray(x, np.float64), False) for x in vectors]


def expected_weights(config: OptimizerConfig, grads: list[dict], rate: list[float]) -> list[np.ndarray]:
    """The papers' formulas, matrix by matrix, in float64."""
    weights = apart(random_tree(0))
    w, matrix = [x for x, _ in weights], [m for _, m in weights]
    m, v = [np.zeros_like(x) for x in w], [np.zeros_like(x) for x in w]
    for t, tree in enumerate(grads, start=1):
        g = [x for x, _ in apart(tree)]
        norm = np.sqrt(sum((x * x).sum() for x in g))
        if config.clip_norm:
            g = [x * config.clip_norm / max(norm, config.clip_norm) for x in g]
        for i in range(len(w)):
            m[i] = config.b1 * m[i] + (1 - config.b1) * g[i]
            v[i] = config.b2 * v[i] + (1 - config.b2) * g[i] ** 2
            mean, square = m[i], v[i]
            if config.name != "bert_adam":
                mean, square = mean / (1 - config.b1**t), square / (1 - config.b2**t)
            u = mean / (np.sqrt(square) + config.epsilon)
            if matrix[i]:
                u = u + config.weight_decay * w[i]
                if config.name == "lamb":
                    u = u * np.linalg.norm(w[i]) / np.linalg.norm(u)
            w[i] = w[i] - rate[t - 1] * u
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
        return [x for x, _ in apart(run(config, grads, lambda step: jnp.asarray(rate, dtype)[step], dtype))]

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
    for (weights, _), expected in zip(apart(found), expected_weights(config, grads, rate), strict=True):
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
    assert len(arrays) == 2 * len(jax.tree.leaves(state.params))
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
        "mean_decay": ("1", "-1", "nan"),
        "epsilon": ("0", "-1", "nan", "inf"),
        "weight_decay": ("-1", "nan", "inf"),
        "clip_norm": ("-1", "nan", "inf"),
    }.items(),
)
def test_problems_are_named(field, values):
    for value in values:
        config = OptimizerConfig()
        configuration.replace(config, field, configuration.parse(config, field, value))
        (problem,) = config.problems()
        assert f"optimizer.{field}" in problem or f"config field '{value[3:7]}'" in problem or "learning_rate=" in value
        assert problem.endswith((".", "?"))


def test_the_defaults_have_no_problems():
    assert OptimizerConfig().problems() == []
    assert len(configuration.fields(OptimizerConfig())) == 20
