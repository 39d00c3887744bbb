"""A run from scratch beside a tuned one."""

import json
import shutil

import pytest

from bert_jax import load
from bert_jax.reporting.results import read_results
from bert_jax.reporting.run_record import read_run
from bert_jax.reporting.seeds import write_seeds_report
from bert_jax.tasks.from_scratch import scratch_config
from experiments import training
from tests.tasks.test_classification import KIND, files, from_pretrained, pretrained, settings  # noqa: F401


@pytest.fixture
def trained(settings, pretrained, tmp_path, monkeypatch):  # noqa: F811
    """Trains with one command, in `runs/seed_0`: first stopped in the middle of the tuned run, then to the end."""
    config = from_pretrained(settings, pretrained)
    config.train.num_steps, config.train.stop_after, config.data.test = 4, 2, config.data.validation
    config.eval.every, config.optimizer.lora_rank, config.optimizer.layer_decay = 2, 2, 0.9
    folder = tmp_path / "runs/seed_0"
    for name, given in {"_WORKDIR": str(folder), "_DRY_RUN": False, "_PROFILE": None}.items():
        monkeypatch.setattr(training, name, type("Flag", (), {"value": given}))
    monkeypatch.setattr(training.devices, "start", lambda: None)

    def train():
        training.train(KIND, config, "experiments.finetune", training.Scratch(learning_rate=2e-3))

    train()
    assert not (folder / "from_scratch").exists()
    config.train.stop_after = None
    train()
    return folder, train


def test_a_run_from_scratch_beside_a_tuned_one_is_in_its_reports(trained, tmp_path):
    folder, train = trained
    tuned, scratch = (read_run(path) for path in (folder, folder / "from_scratch"))
    assert (tuned.step, scratch.step) == (4, 4)
    assert (tuned.config["optimizer.lora_rank"], scratch.config["optimizer.lora_rank"]) == (2, 0)
    assert (scratch.config["train.init_from"], scratch.config["optimizer.learning_rate"]) == ("", 2e-3)
    assert scratch.config["optimizer.layer_decay"] == 1
    assert load(scratch.path).tokenizer.sha256 == load(folder).tokenizer.sha256
    report = (folder / "report.md").read_text()
    held_out, test = (part.split("\n## ")[0] for part in report.split("scores\n")[1:])
    own, beside = (run.evaluation["eval/label_loss"] for run in (tuned, scratch))
    assert "| before training | model | from scratch | baseline |" in held_out
    assert f"{own:.3f} | {beside:.3f}" in held_out
    own, beside = (read_results(run.path)["scores"]["test"]["label_loss"] for run in (tuned, scratch))
    assert f"| label, loss in nats | {own:.3f} | {beside:.3f} |" in test
    assert "trained for 4 steps with learning rate 0.002" in report
    before = [(path / "metrics.jsonl").read_text() for path in (tuned.path, scratch.path)]
    train()  # nothing is left to do
    assert [(path / "metrics.jsonl").read_text() for path in (tuned.path, scratch.path)] == before
    assert (folder / "report.md").read_text().count("from scratch") == report.count("from scratch")

    other = shutil.copytree(folder, tmp_path / "runs/seed_1")
    rows = [json.loads(line) for line in before[1].splitlines()]
    rows[-1]["eval/label_loss"] += 2
    (other / "from_scratch/metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = write_seeds_report(tmp_path / "runs", [folder, other])
    mean, loss = rows[-1]["eval/label_loss"] - 1, tuned.evaluation["eval/label_loss"]
    assert f"| label, loss in nats | {loss:.3f} ± 0.000 | {mean:.3f} ± 1.414 | {loss:.3f} | {loss:.3f} |  |" in text


def test_the_run_from_scratch_learns_everything_at_one_rate(settings):  # noqa: F811
    config = from_pretrained(settings, "runs/a")
    config.train.num_epochs, config.train.freeze, config.train.init_skip = 3.0, "^bert/", "pooler"
    config.train.reinit_layers, config.optimizer.head_rate = 1, 3.0
    found = scratch_config(config, "runs/b")
    assert KIND.problems(found) == found.train.problems() == found.data.problems() == []
    assert (found.train.freeze, found.train.num_steps) == ("", config.train.num_steps)
    assert (found.optimizer.head_rate, found.optimizer.learning_rate) == (1.0, config.optimizer.learning_rate)
    assert config.train.num_epochs == 3.0
