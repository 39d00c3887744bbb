"""A run's small files, written by hand: no model, no corpus."""

import dataclasses
import json

from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.tasks.pretraining import PretrainingConfig, make_objectives, summarize

START = {
    "step": 0,
    "time": "2020-01-01T00:00:00+00:00",
    "command": "python -m experiments.pretrain --workdir=runs/a",
    "git_commit": "abc1234",
    "devices": "1 x CPU",
    "num_devices": 1,
    "matrix_peak": 1e11,
    "jax": "0.10.2",
}


def train_row(step, **values):
    """Ten steps at 100 tokens a second in 36 seconds."""
    row = {"loss": 8.0, "mlm_loss": 7.5, "mlm_accuracy": 0.1, "nsp_loss": 0.5, "nsp_accuracy": 0.5}
    row |= {
        "grad_norm": 1.0,
        "learning_rate": 1e-3,
        "tokens_per_second": 100.0,
        "seconds": 36.0,
        "flops_per_second": 1e9,
    }
    row |= {"mfu": 0.25, "data_wait": 0.01}
    return {"step": step} | {f"train/{name}": value for name, value in (row | values).items()}


def eval_row(step, **values):
    row = {"mlm_loss": 7.0, "mlm_accuracy": 0.2, "nsp_accuracy": 0.75, "nsp_loss": 0.5}
    row |= {"unigram_mlm_loss": 7.25, "nsp_majority": 0.5, "seconds": 4.0}
    return {"step": step} | {f"eval/{name}": value for name, value in (row | values).items()}


ROWS = (train_row(10), train_row(20), eval_row(20))


def write_run(path, rows=ROWS, starts=(START,), num_steps=20, sources=(), bad_steps=(), **changes):
    """Writes config.json, run.json and metrics.jsonl; `data__examples="bert"` changes a field."""
    config = PretrainingConfig()
    config.train.num_steps, config.data.corpus = num_steps, "corpora/none"
    for name, value in changes.items():
        section, _, field = name.partition("__")
        setattr(getattr(config, section), field, value)
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"task": "pretraining", "config": dataclasses.asdict(config)}))
    objectives = [MaskedWords(sources=sources), *make_objectives(config.data)[1:]]
    scores = [dataclasses.asdict(score) for one in objectives for score in one.scores]
    about = {"data_fingerprints": {}, "versions": {"jax": "0.10.2"}, "starts": list(starts)}
    about["bad_steps"] = list(bad_steps)
    about |= {"summary": summarize(config.data), "scores": scores}
    (path / "run.json").write_text(json.dumps(about))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
