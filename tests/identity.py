"""Small runs and batches of every kind, and what they give: numbers that a change of the code's shape must not move.

python -m tests.identity FOLDER          prints them as JSON
python -m tests.identity FOLDER meshes   the same of runs on meshes of four simulated devices
"""

import json
import os
import pathlib
import platform
import sys
import zlib

import jax
import numpy as np

from bert_jax import configuration
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.corpus.store import open_corpus
from bert_jax.data.batches import Batches
from bert_jax.data.config import MASKING, DataConfig
from bert_jax.data.kinds import KINDS
from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig, pretrain
from bert_jax.training.run import prepare
from bert_jax.training.workdir.metrics import read_metrics
from experiments import devices
from tests.conftest import make_documents

# Values that are times, or follow from them.
TIMES = ("train/tokens_per_second", "train/flops_per_second", "train/mfu", "train/data_wait", "seconds")
CANDIDATES = {
    "data.examples": "candidates",
    "data.nsp_group_size": 4,
    "data.nsp_temperature": 6.0,
    "model.pooling": "max",
    "model.positions": "sinusoidal",
}
RUNS = {
    "bert": {},
    "balanced": {"data.examples": "balanced", "model.pooling": "mean", "model.positions": "none"},
    "sentence_order": {"data.examples": "sentence_order"},
    "full_sentences": {"data.examples": "full_sentences"},
    "candidates": CANDIDATES,
    "whole_word": {"data.masking": "whole_word"},
    "span": {"data.masking": "span", "data.examples": "full_sentences"},
    "sources": {"data.corpus": "two", "data.source_exponent": 0.5},
    "phases": {
        "data.sequence_length": 32,
        "data.phases": "3: sequence_length=64 batch_size=4; 5: mask_rate=0.3",
        "optimizer.phases": "3: learning_rate=0.004 warmup_ratio=0.3",
    },
    "accumulation": {"train.grad_accumulation_steps": 2, "optimizer.name": "lamb"},
    "candidates_accumulated": CANDIDATES | {"train.grad_accumulation_steps": 2},
    "bfloat16": {
        "model.dtype": "bfloat16",
        "model.norm_position": "pre",
        "model.remat": True,
        "model.pooling": "max",
    },
    "bert_adam": {
        "optimizer.name": "bert_adam",
        "model.activation": "gelu_tanh",
        "optimizer.decay_from": "start",
        "data.max_examples": 1,
    },
}
MESHES = {"data_fsdp": {"mesh.data": 2, "mesh.fsdp": 2}, "tensor": {"mesh.data": 2, "mesh.tensor": 2}}
BASE = {
    "data.corpus": "one",
    "data.sequence_length": 64,
    "data.max_examples": 4,
    "data.short_probability": 0.5,
    "optimizer.learning_rate": 1e-3,
    "train.num_steps": 6,
    "train.batch_size": 8,
    "train.log_every": 1,
    "train.checkpoint_every": 3,
    "train.grad_norms_every": 1,
    "eval.every": 3,
    "eval.num_targets": 300,
}


def make_corpora(folder: pathlib.Path) -> None:
    """`one`, of one source by WordPiece, and `two`, of two by SentencePiece."""
    quiet = {"num_workers": 1, "vocab_size": 300, "progress": lambda _: None}
    (folder / "one.txt").write_text("\n\n".join(make_documents(120)) + "\n")
    prepare_corpus(f"text:{folder}/one.txt", folder / "one", validation_fraction=0.1, **quiet)
    for name, count in (("large", 80), ("small", 30)):
        (folder / f"{name}.txt").write_text("\n\n".join(make_documents(count, seed=count)))
    sources = [f"{name}=text:{folder}/{name}.txt" for name in ("large", "small")]
    prepare_corpus(sources, folder / "two", tokenizer="sentencepiece", validation_fraction=0.15, **quiet)


def make_config(folder: pathlib.Path, changes: dict) -> PretrainingConfig:
    """`tiny`, on short rows."""
    config = PretrainingConfig(model=ModelConfig(num_layers=2, hidden_size=128, num_heads=2, max_positions=64))
    for name, value in (BASE | changes).items():
        configuration.replace(config, name, value)
    config.data.corpus = str(folder / config.data.corpus)
    return config


def results(workdir: pathlib.Path) -> dict:
    """Every logged value but times, and the checksums of the last checkpoint."""
    rows = [{k: v for k, v in row.items() if not k.endswith(TIMES)} for row in read_metrics(workdir)]
    last = max(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())
    about = json.loads((workdir / "checkpoints" / str(last) / "about" / "metadata").read_text())
    return {"rows": rows, "checksums": about["checksums"]}


def run_all(folder: pathlib.Path, runs: dict[str, dict]) -> dict[str, dict]:
    """The results of each run."""
    found = {}
    for name, changes in runs.items():
        pretrain(make_config(folder, changes), folder / "runs" / name)
        found[name] = results(folder / "runs" / name)
    return found


def hashes(batch: dict[str, np.ndarray]) -> dict[str, int]:
    """One number for each column."""
    return {name: zlib.crc32(np.ascontiguousarray(value).tobytes()) for name, value in batch.items()}


def batches(folder: pathlib.Path) -> dict[str, list[dict[str, int]]]:
    """Batches of each kind of examples, masked in each way, and held-out ones."""
    found = {}
    for which in ("one", "two"):
        corpus = open_corpus(folder / which)
        for kind in KINDS:
            for masking in MASKING:
                config = DataConfig(
                    sequence_length=64,
                    examples=kind,
                    masking=masking,
                    short_probability=0.3,
                    nsp_group_size=4,
                    source_exponent=0.5,
                )
                made = Batches(corpus.train, corpus.sources, corpus.tokenizer, config, 1, 8)
                found[f"{which} {kind} {masking}"] = [hashes(made.batch(step)) for step in (0, 57)]
    for kind in KINDS:
        config = make_config(folder, {"data.examples": kind, "data.nsp_group_size": 4, "data.masking": "span"})
        task = prepare(Pretraining(), config).task
        found[f"held out {kind}"] = hashes(task.held_out)
    return found


def machine() -> str:
    """What decides the last bits of products: another processor or another compiler rounds otherwise."""
    cpu = next((line for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n") if "model name" in line), "")
    return f"{cpu.partition(':')[2].strip() or platform.processor()}, jaxlib {jax.lib.__version__}"


def main(folder: str | pathlib.Path, which: str = "") -> None:
    folder = pathlib.Path(folder)
    if which == "meshes":
        os.environ["XLA_FLAGS"] = " ".join(devices.XLA_FLAGS)  # patience where devices outnumber processors
        jax.config.update("jax_num_cpu_devices", 4)
        print(json.dumps(run_all(folder, MESHES)))
        return
    folder.mkdir(parents=True, exist_ok=True)
    make_corpora(folder)
    print(json.dumps({"machine": machine(), "batches": batches(folder), "runs": run_all(folder, RUNS)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
