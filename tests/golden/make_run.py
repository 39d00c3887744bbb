"""Makes `run_format_2.tar.gz`, checkpoints of a small run in format 2, which every later version must open.

    python -m tests.golden.make_run

It was made once, by the first version whose checkpoints have a digest, and is never made again: a later format gets a
file of its own beside it.
"""

import os
import pathlib
import tarfile
import tempfile

import numpy as np

from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig, pretrain

FILE = pathlib.Path(__file__).parent.absolute() / "run_format_2.tar.gz"


def make() -> None:
    rng = np.random.default_rng(0)
    sentences = [" ".join(rng.choice(["a", "ab", "ba", "b"], 5)) for _ in range(400)]
    pathlib.Path("text.txt").write_text("\n\n".join("\n".join(sentences[i : i + 4]) for i in range(0, 400, 4)))
    options = {"vocab_size": 16, "num_workers": 1, "validation_fraction": 0.1, "allow_lossy_text": True}
    prepare_corpus("text:text.txt", "corpus", **options)
    config = PretrainingConfig(model=ModelConfig(num_layers=1, hidden_size=8, num_heads=2, max_positions=16))
    config.data.corpus, config.data.sequence_length, config.eval.num_targets = "corpus", 16, 50
    config.train.num_steps, config.train.batch_size, config.train.stop_after = 4, 8, 2
    config.train.log_every, config.eval.every, config.eval.best_by = 1, 2, "mlm_loss"
    pretrain(config, "run")
    with tarfile.open(FILE, "w:gz") as archive:
        for path in sorted(pathlib.Path("run").rglob("checkpoints/**/*")):
            if path.is_file() and path.name != "commit_success.txt":  # which names a folder of the machine
                archive.add(path, path.relative_to("run"), filter=_anonymous)


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make()
