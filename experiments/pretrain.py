"""Pretrains a BERT on a prepared corpus; the same command resumes an interrupted run.

    python -m experiments.pretrain --config=experiments/configs/sizes.py:mini --config.data.corpus=corpora/mine \\
        --workdir=runs/mini

`experiments/training.py` lists the exit codes and the flags that all training scripts share.
"""

from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig
from experiments import config_flags, training


def main(config: PretrainingConfig) -> None:
    training.train(Pretraining(), config, "experiments.pretrain")


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
