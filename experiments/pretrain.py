"""Pretrains a BERT on a prepared corpus; the same command goes on where an interrupted run stood.

    python -m experiments.pretrain --config=experiments/configs/mini.py --config.data.corpus=corpora/mine \\
        --workdir=runs/mini
"""

import signal
import threading

from absl import flags

from bert_jax.reporting import write_report
from bert_jax.tasks.pretraining import PretrainingConfig, pretrain
from experiments import config_flags

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder: checkpoints, metrics, report.", required=True)


def main(config: PretrainingConfig) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Once: finish the step and save. A second signal ends the process as usual.
        signal.signal(number, lambda received, _: (stop.set(), signal.signal(received, signal.SIG_DFL)))
    scores = pretrain(config, _WORKDIR.value, should_stop=stop.is_set)
    if scores:
        write_report(_WORKDIR.value)
        print(f"The report is in {_WORKDIR.value}/report.md")


if __name__ == "__main__":
    config_flags.run(main)
