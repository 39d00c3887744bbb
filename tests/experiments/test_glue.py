"""GLUE from the first task to the files for the server, on mocked data sets; stopped and started again."""

import json

import pytest

from bert_jax import load
from bert_jax.data.benchmarks import BENCHMARKS, GLUE, SUPER_GLUE
from bert_jax.errors import ConfigError
from bert_jax.training.workdir.metrics import read_metrics
from experiments import config_flags, glue, training
from tests.data.mocked_benchmarks import HELD_OUT, mock_benchmarks
from tests.tasks.test_classification import pretrained  # noqa: F401

SHORT = {"train.num_steps": 4, "train.batch_size": 2, "eval.every": 4, "train.checkpoint_every": 2}
SHORT |= {"data.sequence_length": 64, "optimizer.learning_rate": 1e-3}


@pytest.fixture
def run_all(corpus, pretrained, tmp_path, monkeypatch):  # noqa: F811
    """Runs the script's `main` in `runs`, with other flags and fields."""
    words = [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:20]
    monkeypatch.setattr(training.devices, "start", lambda: None)

    def flag(owner, name, value):
        monkeypatch.setattr(owner, name, type("Flag", (), {"value": value}))

    def call(benchmark, tasks, data_sets, num_seeds=1, from_mnli=False, data="", **fields):
        mock_benchmarks(tmp_path / "data", words, monkeypatch, *data_sets)
        for name, value in {"_WORKDIR": str(tmp_path / "runs"), "_DRY_RUN": False, "_PROFILE": None}.items():
            flag(training, name, value)
        given = {"_INIT_FROM": str(pretrained), "_BENCHMARK": benchmark, "_TASKS": tasks, "_DATA": data}
        for name, value in (given | {"_NUM_SEEDS": num_seeds, "_FROM_MNLI": from_mnli}).items():
            flag(glue, name, value)
        glue.main(SHORT | {name.replace("__", "."): value for name, value in fields.items()})
        return tmp_path / "runs"

    return call


def submitted(folder, name):
    lines = (folder / "submission" / f"{name}.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    found = [line.split("\t") for line in lines[1:]]
    assert [int(index) for index, _ in found] == list(range(HELD_OUT))
    return [said for _, said in found]


def test_mnli_and_what_starts_from_it(run_all, capsys):
    data_sets = ("glue/mnli", "glue/ax", "glue/rte", "glue/stsb")
    tasks = ["stsb", "rte", "mnli"]
    folder = run_all("glue", tasks, data_sets, num_seeds=2, from_mnli=True)
    printed = capsys.readouterr().out
    for name in ("MNLI-m", "MNLI-mm", "AX"):
        assert set(submitted(folder, name)) <= {"entailment", "neutral", "contradiction"}
    # The mocked test texts begin with the word for their label, in the order of `idx`, which is not that of the file.
    model = load(folder / "rte/seed_0")
    assert set(submitted(folder, "RTE")) <= {"entailment", "not_entailment"}
    assert [objective.names for objective in model.objectives] == [GLUE.tasks["rte"].labels]
    assert model.run.train.init_from == str(folder / "mnli/seed_0")
    assert all(0 <= float(said) <= 5 for said in submitted(folder, "STS-B"))
    table = (folder / "report.md").read_text()
    for row in ("| MNLI | accuracy | 2 | ", "| MNLI, mismatched | accuracy | 2 | ", "| RTE | accuracy | 2 | "):
        assert row in table
        assert row in printed
    assert "| STS-B | Spearman correlation | 2 | " in table
    assert "(n = 10)" in table
    assert "The average" not in table  # six tasks are missing
    # A second call finds everything done; a subset of the tasks keeps the others in the table.
    before = {path: path.read_bytes() for path in folder.rglob("submission/*")}
    logged = read_metrics(folder / "rte/seed_1")
    (folder / "submission/RTE.tsv").write_text("kept")
    run_all("glue", ["rte", "mnli"], data_sets, num_seeds=2, from_mnli=True)
    assert (folder / "report.md").read_text() == table
    assert read_metrics(folder / "rte/seed_1") == logged
    assert (folder / "submission/RTE.tsv").read_text() == "kept"
    assert before[folder / "submission/AX.tsv"] == (folder / "submission/AX.tsv").read_bytes()


def test_a_stopped_task_is_not_in_the_table_until_it_is_finished(run_all):
    folder = run_all("glue", ["cola", "mrpc"], ("glue/cola", "glue/mrpc"), train__stop_after=2)
    assert not (folder / "report.md").exists()
    assert not (folder / "submission").exists()
    run_all("glue", ["cola", "mrpc"], ("glue/cola", "glue/mrpc"))
    assert set(submitted(folder, "CoLA")) | set(submitted(folder, "MRPC")) <= {"0", "1"}
    table = (folder / "report.md").read_text()
    assert "| CoLA | Matthews correlation | 1 | " in table
    scores = json.loads((folder / "mrpc/predictions/scores.json").read_text())["scores"]["validation"]
    assert f"| MRPC | F1 of equivalent | 1 | {scores['label_f1']:.3f} | {scores['label_majority_f1']:.3f} |" in table
    assert [row["step"] for row in read_metrics(folder / "cola")][-1] == 4


def test_super_glue_writes_json_lines(run_all):
    folder = run_all("super_glue", ["copa", "wic"], ("super_glue/copa", "super_glue/wic"))
    found = {
        name: [json.loads(line) for line in (folder / f"submission/{name}.jsonl").read_text().splitlines()]
        for name in ("COPA", "WiC")
    }
    for rows in found.values():
        assert [row["idx"] for row in rows] == list(range(HELD_OUT))
    assert {row["label"] for row in found["COPA"]} <= {0, 1}
    assert {row["label"] for row in found["WiC"]} <= {"true", "false"}
    assert "| COPA | accuracy | 1 | " in (folder / "report.md").read_text()
    first = json.loads((folder / "wic/predictions/validation.jsonl").read_text().splitlines()[0])
    assert len(first["text"].split()) == 4  # the word, then the sentence


def test_local_files_with_glues_own_names_and_numbers(run_all, tmp_path):
    (tmp_path / "MRPC").mkdir()
    head = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    for name, size in (("train", 12), ("dev", 6)):
        rows = "".join(f"{i % 2}\t{i}\t{i}\tthe end\tof all {i}\n" for i in range(size))
        (tmp_path / f"MRPC/{name}.tsv").write_text(head + rows)
    (tmp_path / "MRPC/test.tsv").write_text(
        "index\t#1 String\t#2 String\n" + "".join(f"{i}\ta\tb\n" for i in range(10))
    )
    folder = run_all("glue", ["mrpc"], (), data=str(tmp_path))
    assert load(folder / "mrpc").objectives[0].names == ("not_equivalent", "equivalent")
    assert set(submitted(folder, "MRPC")) <= {"0", "1"}


def test_wrong_names_and_a_missing_mnli_are_refused():
    with pytest.raises(ConfigError, match=r"--tasks=mrcp is no task of GLUE, which has cola, .*Did you mean mrpc\?"):
        glue.chosen_tasks(GLUE, ["mrcp"], False)
    with pytest.raises(ConfigError, match="add mnli to --tasks"):
        glue.chosen_tasks(GLUE, ["rte"], True)
    with pytest.raises(ConfigError, match="add mnli to --tasks"):
        glue.chosen_tasks(SUPER_GLUE, None, True)
    assert [task.name for task in glue.chosen_tasks(GLUE, None, True)][:2] == ["mnli", "cola"]
    assert len(glue.chosen_tasks(BENCHMARKS["super_glue"], None, False)) == 5


def test_given_fields_replace_those_of_every_recipe():
    config = glue.task_config(GLUE.tasks["rte"], {"train.num_steps": 7}, "a", "runs/mnli", 3, "")
    assert (config.train.num_steps, config.train.num_epochs) == (7, None)
    assert (config.train.init_from, config.train.init_skip) == ("runs/mnli/seed_0", "^label/")
    copa = glue.task_config(SUPER_GLUE.tasks["copa"], {"data.sequence_length": 64}, "a", "", 1, "")
    assert (copa.data.sequence_length, copa.data.longest_example, copa.train.init_from) == (64, 64, "a")
    with pytest.raises(ConfigError):
        config_flags.replace(copa, {"data.text_column": "text"})
