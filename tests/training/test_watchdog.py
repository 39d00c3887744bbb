import subprocess
import sys
import time

import pytest

from bert_jax.training import watchdog
from bert_jax.training.watchdog import EXIT_CODE, Watchdog

HANGS = """
import sys, threading, time
from etils import epath
from bert_jax.training import watchdog
watchdog.SECONDS = 0.05
def loader():
    time.sleep(60)
threading.Thread(target=loader, daemon=True).start()
with watchdog.Watchdog(0.2, epath.Path(sys.argv[1])) as dog:
    dog.doing("the batch of step 36")
    time.sleep(60)
"""


@pytest.mark.parametrize("writable", [True, False])
def test_what_hangs_is_named_and_all_stacks_are_shown(writable, tmp_path):
    folder = tmp_path if writable else tmp_path / "nowhere"
    done = subprocess.run([sys.executable, "-c", HANGS, folder], capture_output=True, text=True, timeout=50)
    assert done.returncode == EXIT_CODE
    assert "error: the batch of step 36 took longer than 0.2 s: " in done.stderr
    stacks = (folder / "hang.txt").read_text() if writable else done.stderr
    assert "in loader" in stacks
    assert "in <module>" in stacks


def test_it_ends_where_nobody_reads_what_it_says(tmp_path):
    command = ["bash", "-c", 'exec "$0" -c "$1" "$2" 2>&-', sys.executable, HANGS, tmp_path / "nowhere"]
    assert subprocess.run(command, timeout=50).returncode == EXIT_CODE


def test_what_goes_on_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(watchdog, "SECONDS", 0.01)
    ended = []
    monkeypatch.setattr(Watchdog, "_end", lambda self: ended.append(self._what))
    with Watchdog(0.2, tmp_path) as dog:  # the start may take four times as long
        for step in range(10):
            time.sleep(0.05)
            dog.doing(f"step {step}")
    with Watchdog(None, tmp_path) as dog:
        dog.doing("a step", 0.0)
        time.sleep(0.05)
    assert not ended
    with Watchdog(0.05, tmp_path) as dog:
        dog.doing("a step", 2.0)
        time.sleep(1)
    assert ended[0] == "a step"


def test_a_process_that_was_stopped_and_goes_on_has_not_hung(tmp_path, monkeypatch):
    """Only its own looks count, not the time between them."""
    ended = []
    monkeypatch.setattr(Watchdog, "_end", lambda self: ended.append(self._what))
    dog = Watchdog(10.0, tmp_path)
    looks = iter([False] * 5 + [True])
    monkeypatch.setattr(dog._closed, "wait", lambda seconds: next(looks))
    dog.doing("a step")
    dog._watch()
    assert (dog._left, ended) == (5.0, [])
