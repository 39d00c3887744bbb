import pytest
from absl import flags
from absl.testing import flagsaver

from bert_jax.errors import ConfigError
from experiments import devices


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinator": "here:1", "process_id": 0}, "give --num_processes too"),
        ({"num_processes": 2}, "give --coordinator and --process_id too"),
        ({"coordinator": "here", "num_processes": 2, "process_id": 0}, "HOST:PORT"),
        ({"coordinator": "here:1", "num_processes": 2, "process_id": 2}, "below --num_processes"),
        ({"coordinator": "here:1", "num_processes": 2, "process_id": 1, "distributed": True}, "not both"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(given, message):
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(**given), pytest.raises(ConfigError, match=message):
        devices.start()
