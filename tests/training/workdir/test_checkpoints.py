import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.errors import CheckpointError, ConfigError, WriteError
from bert_jax.training.best import Best
from bert_jax.training.config import TrainConfig
from bert_jax.training.state import TrainState
from bert_jax.training.workdir.about import About
from bert_jax.training.workdir.checkpoints import (
    Checkpoints,
    Preserved,
    SavedParams,
    checksums,
    read_best,
    read_params,
    save_params,
    unusable_in,
)
from bert_jax.training.workdir.checksums import NotFiniteError, _leaf_checksums
from bert_jax.training.workdir.folder import Workdir

ASSETS = {"config.json": b"{}\n", "tokenizer/tokenizer.model": bytes(range(256))}


def make_state(step, size=1000):
    key = jax.random.key(step)
    return TrainState(
        step=jnp.int32(step),
        params={"layer": {"kernel": jax.random.normal(key, (size, 8)), "bias": jnp.zeros(8)}},
        opt_state=({"mu": jax.random.normal(key, (size,))}, ()),
        seed=jnp.uint32(7),
    )


def save(checkpoints, step, state, *more):
    checkpoints.save(step, state, checksums(state), *more)


def shapes(state):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints", Preserved(2), ASSETS)
    yield opened
    opened.close()


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_restores_the_newest_and_keeps_as_many_as_told(checkpoints, tmp_path):
    assert checkpoints.restore_latest(shapes(make_state(0))) is None
    for step in (1, 2, 3):
        save(checkpoints, step, make_state(step))
    checkpoints.wait()
    assert_equal(checkpoints.restore_latest(shapes(make_state(0))), make_state(3))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()) == ["2", "3"]


def test_the_steps_of_keep_every_are_kept_besides_the_latest_and_the_best(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints", Preserved(1, every=3), ASSETS)
    for step in range(1, 9):
        save(opened, step, make_state(step), Best("loss", True, 4, 0.5, 0) if step >= 4 else None)
    opened.close()
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit())
    assert kept == [3, 4, 6, 8]
    for keep_every, problems in ((None, 0), (8, 0), (6, 1), (-4, 1)):
        found = TrainConfig(num_steps=9, checkpoint_every=4, keep_every=keep_every).problems()
        assert len(found) == problems
    assert (
        "train.keep_every=6 must be a multiple of train.checkpoint_every=4"
        in TrainConfig(num_steps=9, checkpoint_every=4, keep_every=6).problems()[0]
    )


@pytest.mark.parametrize("reopens", [True, False])
def test_where_a_rewind_goes_to_and_the_best_up_to_there_are_kept(tmp_path, reopens):
    def opened():
        return Checkpoints(tmp_path / "checkpoints", Preserved(1, rewinds_to=4), ASSETS)

    checkpoints = opened()
    for step, best in ((3, 3), (4, 3), (5, 3), (6, 6), (7, 6)):
        if reopens:
            checkpoints.close()
            checkpoints = opened()
            checkpoints.restore_latest(shapes(make_state(0)))
        save(checkpoints, step, make_state(step), Best("loss", True, best, 0.5, step - best))
    checkpoints.close()
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [3, 4, 6, 7]


@pytest.mark.parametrize("reopens", [True, False])
def test_the_best_is_kept_besides_the_latest_and_goes_with_each_checkpoint(tmp_path, reopens):
    opened = Checkpoints(tmp_path / "checkpoints", Preserved(1), ASSETS)
    for step, best in ((1, 1), (2, 1), (3, 1), (4, 4), (5, 4)):
        if reopens:
            opened.close()
            opened = Checkpoints(tmp_path / "checkpoints", Preserved(1), ASSETS)
            restored = opened.restore_latest(shapes(make_state(0)))
            assert restored is None or opened.best == read_best(tmp_path / "checkpoints")
        save(opened, step, make_state(step), Best("loss", True, best, 0.5, step - best))
        opened.wait()
        assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == sorted({str(best), str(step)})
        assert read_best(tmp_path / "checkpoints") == Best("loss", True, best, 0.5, step - best)
        for chosen in (None, step):
            assert read_params(tmp_path / "checkpoints", chosen)[0] == (chosen or best)
    (tmp_path / "checkpoints" / "5" / "about" / "metadata").write_bytes(b"{")
    assert read_best(tmp_path / "checkpoints") is None
    with pytest.raises(CheckpointError, match=r"step 5 in .* cannot be read"):
        read_params(tmp_path / "checkpoints")
    assert read_params(tmp_path / "checkpoints", 4)[0] == 4
    opened.close()


ODD = ["a b", "q'uo\"te", "new\nline", "ünï 日本", "{a,b}", "a%20b", "#h", "$x;&", "~", "tab\t", "e\u0301", "x.", "1"]


@pytest.mark.parametrize("name", ODD)
def test_a_folder_of_any_name_holds_checkpoints(name, tmp_path):
    folder = Workdir(tmp_path / name / "run")
    folder.check_writable()
    opened = Checkpoints(folder.checkpoints, Preserved(2), ASSETS)
    save(opened, 1, make_state(1))
    opened.close()
    assert_equal(read_params(folder.checkpoints)[1], make_state(1).params)


@pytest.mark.parametrize(
    ("name", "told"),
    [("a[1]", "'['"), ("a*", "'*'"), ("a\\b", "'\\'"), ("gs:", "'gs:'"), ("a\udcff", "a byte that is not UTF-8")],
)
def test_or_is_refused_before_anything_is_written(name, told, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"has {told} in it, with which checkpoints cannot be saved")):
        Workdir(tmp_path / name / "run").check_writable()
    assert not list(tmp_path.iterdir())
    assert not unusable_in("gs://bucket/run")


def test_arrays_may_be_donated_while_they_are_saved(checkpoints):
    overwrite = jax.jit(lambda state: jax.tree.map(lambda x: x * 0 + 5, state), donate_argnums=0)
    save(checkpoints, 1, make_state(1))  # the first one is waited for
    state = make_state(2, size=500_000)
    expected = jax.tree.map(np.array, state)
    save(checkpoints, 2, state)
    for _ in range(3):
        state = overwrite(state)
    checkpoints.wait()
    assert_equal(checkpoints.restore_latest(shapes(make_state(0, size=500_000))), expected)


@pytest.mark.parametrize("size", [1000, 5])
def test_the_first_checkpoint_of_a_start_is_read_back(size, checkpoints, tmp_path, monkeypatch):
    """Here the disk keeps something else; the second one is trusted."""
    wait = checkpoints.wait

    def wait_and_damage():
        wait()
        for file in (tmp_path / "checkpoints").rglob("*"):
            if file.is_file() and file.stat().st_size > 4 * size:
                content = bytearray(file.read_bytes())
                content[len(content) // 2] ^= 1
                file.write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "wait", wait_and_damage)
        with pytest.raises(CheckpointError, match=r"step 1 in .* is not what was saved \(.*: mend the disk"):
            save(checkpoints, 1, make_state(1, size))
    save(checkpoints, 2, make_state(2))
    monkeypatch.setattr(checkpoints, "wait", lambda: 1 / 0)
    save(checkpoints, 3, make_state(3))


def test_parameters_are_read_alone(checkpoints, tmp_path):
    save(checkpoints, 4, make_state(4))
    checkpoints.wait()
    step, params, assets = read_params(tmp_path / "checkpoints")
    assert step == 4
    assert_equal(params, make_state(4).params)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))
    assert assets == ASSETS
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read_params(tmp_path / "nothing")


def test_any_damaged_file_is_found_and_the_one_before_is_used(tmp_path):
    template = tmp_path / "template" / "checkpoints"
    saved = Checkpoints(template, Preserved(2), ASSETS)
    for step in (1, 2):
        save(saved, step, make_state(step))
    saved.wait()
    saved.close()
    big = max((p for p in (template / "2").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)

    def flip(content, place):
        content = bytearray(content)
        content[place] ^= 1
        return bytes(content)

    size = big.stat().st_size
    damages = [lambda c, k=k: flip(c, size * k // 9) for k in range(1, 9)] + [lambda c: c[: size // 2], lambda c: b""]
    for i, damage in enumerate(damages):
        folder = tmp_path / str(i) / "checkpoints"
        shutil.copytree(template, folder)
        file = folder / big.relative_to(template)
        file.write_bytes(damage(file.read_bytes()))
        opened = Checkpoints(folder, Preserved(2), ASSETS)
        restored = opened.restore_latest(shapes(make_state(0)))
        assert_equal(restored, make_state(int(restored.step)))  # never silently wrong
        if int(restored.step) == 1:
            assert (tmp_path / str(i) / "damaged_checkpoints" / "2").exists()
            save(opened, 2, make_state(2))  # the place is free again
            opened.wait()
            assert int(opened.restore_latest(shapes(make_state(0))).step) == 2
        opened.close()


@pytest.mark.parametrize("damage", ["deleted", "flipped"])
def test_a_damaged_file_of_any_kind_never_gives_something_else(damage, tmp_path):
    """Neither to a run that resumes nor to `load`."""
    saved = Checkpoints(tmp_path / "whole" / "checkpoints", Preserved(2), ASSETS)
    for step in (1, 2):
        save(saved, step, make_state(step))
    saved.close()
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole" / "checkpoints" / "2").rglob("*")]
    named = 0
    for i, file in enumerate(path for path in files if (tmp_path / "whole" / path).is_file()):
        shutil.copytree(tmp_path / "whole", tmp_path / str(i))
        content = (tmp_path / str(i) / file).read_bytes()
        (tmp_path / str(i) / file).unlink()
        if damage == "flipped":
            place = len(content) // 2
            (tmp_path / str(i) / file).write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            step, params, assets = read_params(tmp_path / str(i) / "checkpoints")
            assert (step, assets) == (2, ASSETS)
            assert_equal(params, make_state(2).params)
        except CheckpointError:
            named += 1
        opened = Checkpoints(tmp_path / str(i) / "checkpoints", Preserved(2), ASSETS)
        restored = opened.restore_latest(shapes(make_state(0)))
        opened.close()
        assert_equal(restored, make_state(int(restored.step)))
    assert named


def test_wrong_content_with_an_intact_container_is_found(tmp_path):
    """What only our checksums can see: valid files that hold other numbers."""
    opened = Checkpoints(tmp_path / "checkpoints", Preserved(2), ASSETS)
    save(opened, 1, make_state(1))
    opened.wait()
    about = tmp_path / "checkpoints" / "1" / "about" / "metadata"
    name = "params/layer/kernel"
    said = About.read(json.loads(about.read_text()))
    assert said.checksums == checksums(make_state(1))
    said.checksums[name] += 1
    about.write_text(json.dumps(said.as_json()))
    with pytest.raises(CheckpointError, match=name):
        read_params(tmp_path / "checkpoints")
    for _ in range(2):  # it stays, so that the next start does not begin from nothing
        with pytest.raises(CheckpointError, match="None of the checkpoints"):
            opened.restore_latest(shapes(make_state(0)))
    opened.close()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_found_in_the_pass_that_makes_checksums(wrong, tmp_path):
    state = make_state(1)
    state.opt_state[0]["mu"] = state.opt_state[0]["mu"].at[999].set(wrong)
    for tree in (state, jax.tree.map(np.asarray, state)):
        with pytest.raises(NotFiniteError, match=r"not finite in opt_state/0/mu:"):
            checksums(tree)
    with pytest.raises(NotFiniteError):
        save_params(tmp_path / "checkpoints", 1, state.opt_state[0], {})
    assert not (tmp_path / "checkpoints").exists()


def test_a_checkpoint_that_is_not_finite_is_not_resumed_from_but_the_one_before_it(checkpoints, tmp_path, monkeypatch):
    """Its checksums match: an earlier version saved what it had."""
    save(checkpoints, 1, make_state(1))
    bad = make_state(2)
    bad.params["layer"]["bias"] = bad.params["layer"]["bias"] * np.nan
    sums = [int(sum_) for sum_, _ in _leaf_checksums(jax.tree.leaves(bad))]
    checkpoints.save(2, bad, dict(zip(checksums(make_state(2)), sums, strict=True)))
    checkpoints.wait()
    with pytest.raises(CheckpointError, match=r"step 2 .*holds numbers that are not finite in params/layer/bias"):
        read_params(tmp_path / "checkpoints")
    assert_equal(checkpoints.restore_latest(shapes(make_state(0))), make_state(1))
    assert (tmp_path / "damaged_checkpoints" / "2").exists()


def test_checksums_see_every_bit_and_every_exchange():
    x = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    original = checksums({"x": jnp.asarray(x)})
    for _ in range(50):
        damaged = x.copy()
        bits = damaged.view(np.uint32)
        rng = np.random.default_rng(_)
        bits[rng.integers(20), rng.integers(30)] ^= np.uint32(1 << rng.integers(32))
        assert checksums({"x": jnp.asarray(damaged)}) != original
    assert checksums({"x": jnp.asarray(x[::-1])}) != original


def test_a_checkpoint_that_cannot_be_written_is_a_sentence(checkpoints, monkeypatch):
    """TensorStore's errors and those of the file system; a bug stays one."""
    for error, told in (
        (
            ValueError('RESOURCE_EXHAUSTED: Error writing "seed/0": No space left on device [OS]'),
            "No space left on device",
        ),
        (
            ValueError('PERMISSION_DENIED: Error writing "seed/0" in gs://a/b'),
            'PERMISSION_DENIED: Error writing "seed/0" in',
        ),
        (OSError(122, "Disk quota exceeded"), "Disk quota exceeded"),
    ):
        monkeypatch.setattr(checkpoints._manager, "wait_until_finished", lambda error=error: raise_(error))
        with pytest.raises(WriteError, match=rf"checkpoints cannot be written \({re.escape(told)}.*\): make room"):
            checkpoints.wait()
    monkeypatch.setattr(checkpoints._manager, "wait_until_finished", lambda: raise_(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        checkpoints.wait()
    monkeypatch.undo()


def raise_(error):
    raise error


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16, np.int8])
@pytest.mark.parametrize("shape", [(), (5,), (300, 40), (3, 50, 7)])
def test_checksums_are_the_same_on_the_host(shape, dtype, monkeypatch):
    monkeypatch.setattr("bert_jax.training.workdir.checksums.PIECE", 1000)
    x = np.random.default_rng(0).integers(-100, 100, shape).astype(dtype)
    assert checksums({"x": x}) == checksums({"x": jnp.asarray(x)})
    assert checksums({"x": x, "y": jnp.asarray(x)})["y"] == checksums({"x": x})["x"]


def test_parameters_are_read_in_parts_the_largest_first(tmp_path):
    rng = np.random.default_rng(0)
    params = {"a": {f"x{i}": rng.normal(size=(10 * i, 4)).astype(np.float32) for i in range(1, 30)}, "b": np.ones(3)}
    save_params(tmp_path / "checkpoints", 7, jax.tree.map(jnp.asarray, params), ASSETS)
    step, found, assets = read_params(tmp_path / "checkpoints")
    assert (step, assets) == (7, ASSETS)
    jax.tree.map(np.testing.assert_array_equal, found, params)
    parts = list(SavedParams(tmp_path / "checkpoints").parts())
    sizes = [sorted((array.size for array in part.values()), reverse=True) for part in parts]
    flat = [size for part in sizes for size in part]
    assert flat == sorted(flat, reverse=True)
    assert len(parts) > 10
    assert all(sum(part) <= sum(map(sum, sizes)) / 24 for part in sizes if len(part) > 1)
