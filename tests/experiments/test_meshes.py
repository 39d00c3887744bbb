"""Eight devices compute what one does, each holding its part; see `eight_devices.py`."""

import json
import os
import subprocess
import sys

import pytest

from experiments.devices import XLA_FLAGS
from tests.experiments.eight_devices import VOCABULARY

QUICK = ("--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true")  # to compile, that is

# Cut over `fsdp` or `tensor` only: vectors, along their one axis, and tables of two rows; they weigh next to nothing.
CUT_ONCE = ("['bias']", "['scale']", "['token_type']", "['nsp']['dense']['kernel']")


@pytest.fixture(scope="module")
def seen(corpus, corpus_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    done = subprocess.run(
        [sys.executable, "-m", "tests.experiments.eight_devices", corpus_path, str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join((*XLA_FLAGS, *QUICK))},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_losses_are_those_of_one_device(seen):
    assert len(seen["differences"]) == 5
    assert max(seen["differences"]) < 1e-5


def test_models_of_other_kinds_compute_what_they_do_on_one_device(seen):
    """Windows in blocks, grouped queries, rotary positions and all other switches of `ModelConfig` that cut arrays."""
    assert len(seen["of_today"]) == 2
    assert max(seen["of_today"]) < 1e-5


def test_every_array_is_cut_over_fsdp_and_tensor(seen):
    for path, share in seen["mixed_shares"].items():
        if path.endswith(("['nsp']['dense']['bias']", ".count")):
            assert share == 1, path
        else:
            assert share == (1 / 2 if path.endswith(CUT_ONCE) else 1 / 4), path


def test_a_vocabulary_that_does_not_divide_is_cut_by_width(seen):
    assert {share for path, share in seen["tensor_shares"].items() if "'word']" in path} == {1 / 4}
    assert {share for path, share in seen["tensor_shares"].items() if "['mlm']['bias']" in path} == {1}


def test_logits_are_never_gathered(seen):
    padded = -(-VOCABULARY // 4) * 4
    assert seen["gathered"]
    assert not [shape for shape in seen["gathered"] if len(shape) > 1 and shape[-1] in (VOCABULARY, padded)]


def test_probes_see_the_features_of_one_device(seen):
    difference, of_accuracy = seen["probed"]
    assert difference < 1e-5
    assert of_accuracy == 0


def test_a_ramp_with_a_mean_is_that_of_one_device_and_forks_onto_eight(seen):
    of_losses, of_scores, other_arrays = seen["changing"]
    assert of_losses < 1e-5
    assert of_scores < 1e-5
    assert other_arrays == 0


def test_a_classifier_learns_and_scores_as_on_one_device(seen):
    assert len(seen["classified"]) == 2
    assert max(seen["classified"]) < 1e-5


def test_programs_with_collectives_never_overlap(seen):
    """With few cores, the collectives of each would wait for threads that the other holds."""
    assert not seen["unfinished"]


def test_a_checkpoint_goes_from_mesh_to_mesh_unchanged(seen):
    assert not seen["moved"]


def test_copies_that_differ_are_found(seen):
    whole, changed = seen["replicas"]
    assert whole == ""
    assert changed.startswith("After step 7, devices that should hold the same bits of copied differ: cpu:0, ")
    assert " and cpu:5 in copied. " in changed


def test_what_does_not_divide_is_refused_in_sentences(seen):
    assert seen["refused"].split("\n") == [
        "model.num_heads=2 cannot be split into mesh.tensor=4 equal parts: choose a divisor of 2.",
        "train.batch_size=15 must be a multiple of the 2 data devices: choose 16, for example.",
    ]
