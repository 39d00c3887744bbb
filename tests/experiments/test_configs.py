import pathlib

import pytest

from bert_jax.tasks.pretraining import PretrainingConfig, pretrain
from experiments import config_flags
from tests.tasks.test_pretraining import shrink

CONFIGS = sorted(pathlib.Path("experiments/configs").glob("*.py"))
SIZES = {"tiny": (2, 128, 2), "mini": (4, 256, 4), "small": (4, 512, 8), "medium": (8, 512, 8)}
SIZES |= {"base": (12, 768, 12), "large": (24, 1024, 16)}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_config_runs_a_step_when_shrunk(file, corpus, corpus_path, tmp_path):
    config = config_flags.load(str(file))
    assert isinstance(config, PretrainingConfig)
    if file.stem in SIZES:
        assert (config.model.num_layers, config.model.hidden_size, config.model.num_heads) == SIZES[file.stem]
    assert f"--config=experiments/configs/{file.name}" in file.read_text()
    shrink(config, corpus_path)
    config.train.num_steps = 1
    assert pretrain(config, tmp_path / "run")["step"] == 1


def test_all_promised_configs_are_there():
    assert {file.stem for file in CONFIGS} >= {*SIZES, "quickstart"}
