"""Pretrains a BERT on a prepared corpus; the same command resumes an interrupted run.

    python -m experiments.pretrain --config=experiments/configs/sizes.py:mini --config.data.corpus=corpora/mine \\
        --workdir=runs/mini

`--eval_corpus=DIR` also scores the held-out text of another corpus, such as that of the run it started from.
`experiments/training.py` lists the exit codes and the flags that all training scripts share.
"""

from absl import flags

from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig
from experiments import config_flags, training

_EVAL_CORPUS = flags.DEFINE_string(
    "eval_corpus", None, "Another corpus, whose held-out text is scored, too. Short for --config.eval.corpus."
)


def main(config: PretrainingConfig) -> None:
    if _EVAL_CORPUS.value is not None:
        config.eval.corpus = _EVAL_CORPUS.value
    training.train(Pretraining(), config, "experiments.pretrain")


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
