import os
import subprocess
import sys

import pytest

from experiments import sentences


def test_an_interrupt_ends_without_a_traceback(capsys):
    def main(_):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        sentences.exit_on_error(main)([])
    assert caught.value.code == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_terminal_without_utf8_ends_no_script():
    script = "from experiments import sentences; sentences.run(lambda _: print('4 rows × 64 tokens …'))"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "4 rows ? 64 tokens ?\n"
