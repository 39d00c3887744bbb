"""Pretrains a BERT on a prepared corpus; the same command goes on where an interrupted run stood.

    python -m experiments.pretrain --config=experiments/configs/mini.py --config.data.corpus=corpora/mine \\
        --workdir=runs/mini

Exit codes: 0 finished, 2 a mistake that is told in a sentence, 143 (130) stopped by SIGTERM (Ctrl-C) and saved.
--dry_run says what would happen, after compiling it, and stops; --profile=100:110 traces these steps.
Several devices: --config.mesh.*, see `bert_jax/sharding.py`; several processes: see `experiments/devices.py`.
"""

import shlex
import signal
import sys

from absl import flags

from bert_jax.reporting import write_report
from bert_jax.tasks.pretraining import PretrainingConfig, pretrain
from bert_jax.training import processes
from bert_jax.training.profile import parse_steps
from bert_jax.training.run import Options
from experiments import config_flags, devices

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder: checkpoints, metrics, report.", required=True)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Say what would happen, after compiling it, and stop.")
_PROFILE = flags.DEFINE_string("profile", None, "START:STOP: trace these steps into WORKDIR/profiles.")


def main(config: PretrainingConfig) -> None:
    devices.start()
    received: list[int] = []

    def stop(number: int, _) -> None:
        received.append(number)
        # The step is finished and saved. Ctrl-C again ends at once; launchers may send SIGTERM twice.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else signal.SIG_IGN)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    options = Options(
        should_stop=lambda: bool(received),
        profile=parse_steps(_PROFILE.value),
        dry_run=_DRY_RUN.value,
        command=shlex.join(["python", "-m", "experiments.pretrain", *sys.argv[1:]]),
    )
    scores = pretrain(config, _WORKDIR.value, options)
    if scores and processes.is_first():
        write_report(_WORKDIR.value)
        print(f"The report is in {_WORKDIR.value}/report.md")
    everywhere = [number for numbers in processes.gather(received) for number in numbers]
    if everywhere and not scores:
        sys.exit(128 + everywhere[0])  # as a shell would say of a process ended by that signal


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
