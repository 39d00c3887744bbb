import copy
import json
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax import configuration
from bert_jax.errors import ConfigError
from bert_jax.optim.optimizer import make_schedule
from bert_jax.tasks.pretraining import PretrainingConfig, open_batches, pretrain
from bert_jax.training.workdir.resume import check_resumed
from tests.tasks.test_pretraining import results

SETTINGS = configuration.metadata(PretrainingConfig)
# Fields whose texts have a form of their own.
WELL_FORMED = {"data.phases": "5: mask_rate=0.2", "eval.probes": "words=words.tsv"}
MAY_CHANGE = {name: setting["may_change"] for name, setting in SETTINGS.items() if setting["may_change"]}


def another(value):
    """A value of the same type that is not this one."""
    if isinstance(value, bool):
        return not value
    if value is None:
        return 7
    return value + "x" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("name", configuration.fields(PretrainingConfig()))
def test_every_field_may_change_or_is_refused_with_both_values(name):
    stored = PretrainingConfig()
    stored.model.vocab_size, stored.train.num_steps = 100, 9
    given, old = copy.deepcopy(stored), configuration.fields(stored)[name]
    plain, _ = configuration.field_type(stored, name)
    new = WELL_FORMED.get(name) or plain(another(old))
    configuration.replace(given, name, new)
    if name in MAY_CHANGE and not SETTINGS[name]["fixed"]:
        check_resumed(given, stored, 0, "runs/a")
    else:
        with pytest.raises(ConfigError) as refused:
            check_resumed(given, stored, 0, "runs/a")
        assert f"runs/a holds a run of another config: {name} was {old!r} and is {new!r}." in str(refused.value)


def test_every_field_says_what_a_second_start_may_do_with_it():
    assert list(SETTINGS) == list(configuration.fields(PretrainingConfig()))
    chosen = {name for name, setting in SETTINGS.items() if setting["chosen"]}
    assert chosen == {"model.vocab_size", "train.num_steps", "train.fork_step", "eval.every", "eval.best_by"}
    assert len(MAY_CHANGE) == 25
    fixed = [name for name, setting in SETTINGS.items() if setting["fixed"]]
    assert fixed == ["data.phases", "train.init_from", "train.fork_from", "eval.probes", "eval.corpus"]


@pytest.mark.parametrize(
    ("old", "new", "may"),
    [
        ("5: corpus=a mask_rate=0.1; 9: corpus=b", "5:  corpus=/x/a mask_rate=0.1;9: corpus=../b/", True),
        ("5: corpus=a; 9: mask_rate=0.1", "5: corpus=a; 9: mask_rate=0.2", False),
        ("5: corpus=a", "6: corpus=a", False),
        ("5: corpus=a", "", False),
    ],
)
def test_of_phases_only_the_folders_of_corpora_may_change(old, new, may):
    stored, given = PretrainingConfig(), PretrainingConfig()
    stored.data.phases, given.data.phases = old, new
    if may:
        check_resumed(given, stored, 0, "runs/a")
    else:
        with pytest.raises(ConfigError, match=r"data\.phases was '5: corpus=a"):
            check_resumed(given, stored, 0, "runs/a")


def test_where_a_run_is_rewound_to_may_not_change():
    stored, given = PretrainingConfig(), PretrainingConfig()
    given.train.checkpoint_every = 500
    check_resumed(given, stored, 0, "runs/a")
    stored.train.on_bad_step = given.train.on_bad_step = "rewind"
    with pytest.raises(ConfigError, match=r"train\.checkpoint_every, .* was 1,000 and is 500"):
        check_resumed(given, stored, 0, "runs/a")


def test_what_the_first_start_chose_is_filled_in():
    stored = PretrainingConfig()
    stored.model.vocab_size, stored.train.num_steps, stored.train.time_budget = 100, 9, 60.0
    given = PretrainingConfig()
    given.train.time_budget = 60.0
    check_resumed(given, stored, 5, "runs/a")
    assert given == stored


def lengths(old, new, taken, **optimizer):
    stored = PretrainingConfig()
    for name, value in optimizer.items():
        configuration.replace(stored, f"optimizer.{name}", value)
    stored.train.num_steps = old
    given = copy.deepcopy(stored)
    given.train.num_steps = new
    check_resumed(given, stored, taken, "runs/a")


CONSTANT = {"schedule": "wsd", "warmup_steps": 10, "decay_ratio": 0.1}


def test_a_run_whose_rate_does_not_fall_yet_may_get_longer_or_shorter():
    lengths(100, 200, 90, **CONSTANT)
    lengths(100, 90, 60, **CONSTANT)
    lengths(100, 200, 100, **CONSTANT | {"decay_ratio": 0.0})  # it has ended, but never falls
    lengths(100, 50, 0)  # nothing is taken yet


@pytest.mark.parametrize(
    ("old", "new", "taken", "optimizer"),
    [
        (100, 200, 20, {}),
        (100, 200, 20, {"schedule": "cosine"}),
        (100, 200, 20, CONSTANT | {"warmup_steps": None, "warmup_ratio": 0.2}),
        (100, 200, 93, CONSTANT),
        (100, 60, 58, CONSTANT),
    ],
)
def test_other_rates_of_steps_that_are_taken_are_refused(old, new, taken, optimizer):
    with pytest.raises(ConfigError, match=f"train.num_steps was {old} and is {new}: .* other learning rates"):
        lengths(old, new, taken, **optimizer)


def test_fewer_steps_than_are_taken_are_refused():
    with pytest.raises(ConfigError, match=r"train\.num_steps was 1,000 and is 50, but 60 steps are taken already"):
        lengths(1000, 50, 60, **CONSTANT)


def test_a_longer_run_ends_like_one_that_was_that_long_from_the_start(config, tmp_path):
    config.optimizer.schedule, config.optimizer.warmup_steps, config.optimizer.decay_ratio = "wsd", 2, 0.25
    config.train.num_steps, config.train.log_every, config.eval.every = 12, 1, 4
    pretrain(config, tmp_path / "straight")
    config.train.num_steps, config.train.stop_after = 8, 6  # the rate would fall over the steps 7 and 8
    pretrain(config, tmp_path / "longer")
    assert json.loads((tmp_path / "longer/config.json").read_text())["config"]["train"]["num_steps"] == 8
    config.train.num_steps, config.train.stop_after = 12, None
    pretrain(config, tmp_path / "longer")
    assert results(tmp_path / "longer") == results(tmp_path / "straight")
    assert json.loads((tmp_path / "longer/config.json").read_text())["config"]["train"]["num_steps"] == 12
    steps = jnp.arange(12)
    short, long = (np.asarray(jax.vmap(make_schedule(config.optimizer, n))(steps)) for n in (8, 12))
    assert (short[:6] == long[:6]).all()
    assert not (short[6:] == long[6:]).all()


def test_a_run_goes_on_where_its_corpora_have_moved(config, corpus_path, tmp_path):
    """In phases too, by another spelling or a link. The config then holds the new places."""
    for name in ("first", "second"):
        shutil.copytree(corpus_path, tmp_path / name)
    manifest = json.loads((tmp_path / "second/manifest.json").read_text())
    (tmp_path / "second/manifest.json").write_text(json.dumps(manifest | {"fingerprint": "another"}))
    config.data.corpus = f"{tmp_path}/first"
    config.data.phases = f"3: corpus={tmp_path}/second; 9: corpus={tmp_path}/./first/"
    config.train.num_steps = config.eval.every = 10
    pretrain(config, tmp_path / "straight")
    config.train.stop_after = 2
    pretrain(config, tmp_path / "run")
    for name in ("first", "second"):
        (tmp_path / name).rename(tmp_path / f"moved-{name}")
    (tmp_path / "link").symlink_to(tmp_path / "moved-first")
    config.data.corpus, config.train.stop_after = f"{tmp_path}/link", None
    config.data.phases = f"3: corpus={tmp_path}/moved-second/; 9: corpus={tmp_path}/moved-first"
    exchanged = copy.deepcopy(config)
    exchanged.data.phases = f"3: corpus={tmp_path}/moved-second; 9: corpus={tmp_path}/moved-second"
    with pytest.raises(ConfigError, match=r"other data \(corpus was (\w+) another \1, is \1 another another\)"):
        pretrain(exchanged, tmp_path / "run")
    pretrain(config, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")
    stored = json.loads((tmp_path / "run/config.json").read_text())["config"]["data"]
    assert (stored["corpus"], stored["phases"]) == (config.data.corpus, config.data.phases)
    with pytest.raises(ConfigError, match=r"no corpus at .*/first: if it has moved, give its folder by --corpus"):
        open_batches(tmp_path / "straight")
    moved = open_batches(tmp_path / "straight", [f"{tmp_path}/moved-second", f"{tmp_path}/moved-first"])
    jax.tree.map(np.testing.assert_array_equal, moved.batch(4), open_batches(tmp_path / "run").batch(4))


def test_the_documentation_has_the_table():
    text = pathlib.Path("docs/configs.md").read_text().partition("## What a second start may change")[2]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", text, re.MULTILINE)
    assert dict(rows) == MAY_CHANGE
