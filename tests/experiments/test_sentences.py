import os
import subprocess
import sys

import pytest

from bert_jax.errors import ConfigError, WriteError
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


def test_all_unknown_flags_are_named_at_once():
    script = "from experiments import sentences; sentences.run(lambda _: None)"
    wrong = ["--verbositi=1", "--noalsologtostderr", "--lr", "3"]
    done = subprocess.run([sys.executable, "-c", script, *wrong], capture_output=True, text=True)
    assert done.returncode == 2
    assert "There is no flag --verbositi. Did you mean --verbosity?" in done.stderr
    assert "There is no flag --lr." in done.stderr
    assert "alsologtostderr." not in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError("a.b is wrong.\nc is, too."), 2, "error: a.b is wrong.\nerror: c is, too.\n"),
        (WriteError("run cannot be written."), 74, "error: run cannot be written.\n"),
        (
            PermissionError(13, "Permission denied", "a/b"),
            74,
            "error: a/b cannot be read or written (Permission denied): mend it, and run the same command again.\n",
        ),
        (
            ConnectionResetError("by peer"),
            74,
            "error: A file or a connection failed (by peer): mend it, and run the same command again.\n",
        ),
    ],
)
def test_errors_of_the_user_and_the_system_are_sentences_with_codes_of_their_own(error, code, told, capsys):
    def main(_):
        raise error

    with pytest.raises(SystemExit) as ended:
        sentences.exit_on_error(main)([])
    assert ended.value.code == code
    assert capsys.readouterr().err == told


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        sentences.exit_on_error(lambda _: 1 / 0)([])
