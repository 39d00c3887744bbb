"""Checkpoints that earlier versions wrote are read by this one: parameters, files, and the state of the optimiser."""

import hashlib
import pathlib
import tarfile

import jax
import numpy as np
import pytest

from bert_jax import load, sharding
from bert_jax.objectives.learner import Learner
from bert_jax.sharding import MeshConfig
from bert_jax.training.program import make_program
from bert_jax.training.workdir.checkpoints import Checkpoints, Preserved

# The hash of the word embeddings, by the version of the format.
WORDS = {2: "281b43196cdc3ebe"}


@pytest.fixture(params=WORDS)
def saved(request, tmp_path):
    """The version of the format, and the folder of a run that it wrote."""
    file = pathlib.Path(__file__).parents[2] / "golden" / f"run_format_{request.param}.tar.gz"
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path, filter="data")
    return request.param, tmp_path


def test_a_run_of_any_format_is_loaded_and_resumed(saved):
    version, folder = saved
    model = load(folder)
    assert (model.step, model.task) == (2, "pretraining")
    words = model.params["bert"]["embeddings"]["word"]
    assert hashlib.sha256(np.asarray(words).tobytes()).hexdigest()[:16] == WORDS[version]
    assert len(model.fill_mask("a [MASK] ba")[0]) == 5
    mesh = sharding.make_mesh(MeshConfig())
    with jax.set_mesh(mesh), sharding.rules():
        learner = Learner(model.config, tuple(model.objectives))
        program = make_program(learner, model.run, model.run.train.num_steps, 1, mesh)
        checkpoints = Checkpoints(folder / "checkpoints", Preserved(3), {})
        state = checkpoints.restore_latest(program.state_shapes)
        checkpoints.close()
    assert int(state.step) == 2
    assert checkpoints.best.step == 2
    jax.tree.map(np.testing.assert_array_equal, state.params, model.params)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(state.opt_state))
