"""Runs the scripts many times, and pays for their imports once.

A process that has imported what they import, and holds no device yet, forks at each call: flags, devices and files are
those of a new process.
"""

import importlib
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback

IMPORTS = (
    "bert_jax.corpus.builder.prepare",
    "bert_jax.reporting.batch_text",
    "bert_jax.reporting",
    "bert_jax.tasks.registry",
    "experiments.config_flags",
    "pyarrow.parquet",
)
SECONDS = 300  # a call that takes longer is ended


class Scripts:
    """The forking process; a context manager."""

    def __init__(self, folder):
        self._folder = folder

    def __enter__(self):
        command = [sys.executable, "-m", "tests.experiments.scripts", str(self._folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def run(
        self,
        script: str,
        *flags: str,
        env: dict[str, str] | None = None,
        broken: str = "",
        fatal: tuple[str, int] | None = None,
    ) -> tuple[int, str]:
        """Exit code, or minus the signal that ended it, and what was printed.

        Args:
          script: as in `python -m experiments.SCRIPT`.
          broken: `module:function` of the package that is to raise ZeroDivisionError.
          fatal: `module:class.method` of the package, and the call of it, from 1 on, that is to kill the process.
        """
        request = {"script": script, "flags": flags, "env": env or {}, "broken": broken, "fatal": fatal}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        return code, (self._folder / "printed").read_text()


def _serve(folder: str) -> None:
    for name in IMPORTS:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _call(f"{folder}/printed", **json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _call(printed: str, script: str, flags: list[str], env: dict[str, str], broken: str, fatal: list | None) -> None:
    signal.alarm(SECONDS)
    with open(printed, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(env)
    sys.argv = [f"experiments/{script}.py", *flags]
    code = 0
    try:
        if broken:
            module, _, name = broken.partition(":")
            setattr(importlib.import_module(module), name, lambda *_: 1 / 0)
        if fatal:
            _make_fatal(*fatal)
        runpy.run_module(f"experiments.{script}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _make_fatal(method: str, call: int) -> None:
    module, _, path = method.partition(":")
    owner, _, name = path.partition(".")
    of = getattr(importlib.import_module(module), owner)
    own, calls = getattr(of, name), itertools.count(1)

    def counted(*args, **kwargs):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return own(*args, **kwargs)

    setattr(of, name, counted)


if __name__ == "__main__":
    _serve(sys.argv[1])
