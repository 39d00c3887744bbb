"""Runs the scripts many times, and pays for their imports once.

A process that has imported what they import, and holds no device yet, forks at each call: flags, devices and files are
those of a new process.
"""

import contextlib
import gc
import importlib
import itertools
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

IMPORTS = (
    "bert_jax.corpus.builder.prepare",
    "bert_jax.reporting.batch_text",
    "bert_jax.reporting",
    "bert_jax.tasks.registry",
    "experiments.config_flags",
    "pyarrow.parquet",
    "tensorboardX.event_file_writer",
    "tensorboardX.summary",
    "tensorflow_datasets",
    "matplotlib.pyplot",
)
SECONDS = 300  # a call that takes longer is ended


class Scripts:
    """The forking process; a context manager.

    Args:
      folder: for what is printed.
      env: of all processes; some variables, such as those of JAX, count from its start on.
    """

    def __init__(self, folder, env: dict[str, str] | None = None):
        self._folder, self._env = folder, env or {}

    def __enter__(self):
        command = [sys.executable, "-m", "tests.experiments.scripts", str(self._folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | self._env
        )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

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
        first: Sequence[Any] = (),
        signals: Sequence[tuple[float, int]] = (),
        seconds: float = SECONDS,
    ) -> tuple[int, str]:
        """Exit code, or minus the signal that ended it, and what was printed.

        Args:
          script: as in `python -m experiments.SCRIPT`; or `module:function`, called with the flags, JSON-like values.
          broken: `module:function` of the package that is to raise ZeroDivisionError.
          fatal: `module:class.method` of the package, and the call of it, from 1 on, that is to kill the process.
          first: `module:function`, and its arguments: is called in the process before the script.
          signals: seconds from the start on, ascending, and what is sent then.
          seconds: a call that takes longer hangs: it is killed, and the code is minus SIGALRM.
        """
        self.start(script, *flags, env=env, broken=broken, fatal=fatal, first=first, signals=signals, seconds=seconds)
        return self.finish()

    def start(self, script: str, *flags: Any, **options: Any) -> None:
        """Begins what `run` does; `finish` returns the rest."""
        request = {"script": script, "flags": flags} | options
        print(json.dumps(request), file=self._process.stdin, flush=True)

    def finish(self) -> tuple[int, str]:
        code = int(self._process.stdout.readline())
        return code, (self._folder / "printed").read_text(errors="replace")


def _serve(folder: str) -> None:
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()  # a collection would write to, and so copy, the memory that the forks share
    for line in sys.stdin:
        request = json.loads(line)
        signals, seconds = request.pop("signals", ()), request.pop("seconds", SECONDS)
        child = os.fork()
        if not child:
            _call(f"{folder}/printed", **request)
        print(_wait(child, signals, seconds), flush=True)


def _wait(child: int, signals: Sequence[tuple[float, int]], seconds: float) -> int:
    """Sends signals to a process at their times, and returns its exit code."""
    process, began = os.pidfd_open(child), time.monotonic()
    try:
        for after, number in [*signals, (seconds, 0)]:
            if select.select([process], [], [], max(0.0, began + after - time.monotonic()))[0]:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            signal.pidfd_send_signal(process, number or signal.SIGKILL)
        os.waitpid(child, 0)
        return -signal.SIGALRM
    finally:
        os.close(process)
        with contextlib.suppress(ProcessLookupError):  # its own processes
            os.killpg(child, signal.SIGKILL)


def _call(
    printed: str,
    script: str,
    flags: list[Any],
    env: dict[str, str] | None = None,
    broken: str = "",
    fatal: list | None = None,
    first: list | None = None,
) -> None:
    os.setpgid(0, 0)
    with open(printed, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(env or {})
    code = 0
    try:
        if broken:
            module, _, name = broken.partition(":")
            setattr(importlib.import_module(module), name, lambda *_: 1 / 0)
        if fatal:
            _make_fatal(*fatal)
        if first:
            _named(first[0])(*first[1:])
        if ":" in script:
            _named(script)(*flags)
        else:
            sys.argv = [f"experiments/{script}.py", *flags]
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


def _named(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


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
