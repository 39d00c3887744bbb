import json

from bert_jax.data.benchmarks import GLUE
from bert_jax.objectives.labels import NUMBER, Labels
from bert_jax.reporting.benchmark import finished_runs, write_benchmark_report


def write_run(folder, scores, f1_label="", choose="one", examples=71):
    """A finished run as reports see it: its declared scores, and what it has on the held-out splits."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "config.json").write_text('{"task": "classification", "config": {}}')
    names = ("a number",) if choose == NUMBER else ("no", "yes")
    declared = [vars(score) for score in Labels(names=names, choose=choose, f1_label=f1_label).scores]
    (folder / "run.json").write_text(json.dumps({"scores": declared}))
    (folder / "metrics.jsonl").write_text("")
    (folder / "predictions/scores.json").write_text(json.dumps({"step": 1, "scores": scores}))
    for split in scores:
        (folder / f"predictions/{split}.jsonl").write_text("{}\n" * examples)


def test_a_score_below_the_majority_is_seen_with_its_interval(tmp_path):
    """WNLI's validation split opposes its training split: 32 of 71 right is normal, 40 are of one label."""
    found = {"label_accuracy": 32 / 71, "label_majority": 40 / 71}
    write_run(tmp_path / "wnli", {"validation": found})
    table = write_benchmark_report(tmp_path, GLUE)
    assert "| WNLI | accuracy | 1 | 0.451 | 0.563 | 0.340 to 0.566 (n = 71) |" in table
    assert "average" not in table


def test_means_and_deviations_are_those_of_the_seeds_and_the_best_seed_is_submitted(tmp_path):
    for seed, f1 in ((2, 0.8), (10, 0.9)):
        found = {"label_f1": f1, "label_accuracy": 0.7, "label_majority_f1": 0.81, "label_majority": 0.68}
        write_run(tmp_path / f"mrpc/seed_{seed}", {"validation": found}, f1_label="equivalent")
    runs = finished_runs(tmp_path / "mrpc", GLUE.tasks["mrpc"])
    assert runs.workdirs == [f"{tmp_path}/mrpc/seed_2", f"{tmp_path}/mrpc/seed_10"]
    assert runs.best == f"{tmp_path}/mrpc/seed_10"
    table = write_benchmark_report(tmp_path, GLUE)
    assert "| MRPC | F1 of equivalent | 2 | 0.850 ± 0.071 | 0.810 |  |" in table
    assert "| MRPC | accuracy | 2 | 0.700 ± 0.000 | 0.680 | 0.590 to 0.798 (n = 71) |" in table
    assert (tmp_path / "report.md").read_text().count("| MRPC |") == 2


def test_a_seed_without_a_score_is_not_the_best(tmp_path):
    for seed, found in ((0, {}), (1, {"label_spearman": -0.5, "label_pearson": -0.4})):
        write_run(tmp_path / f"stsb/seed_{seed}", {"validation": found}, choose=NUMBER)
    assert finished_runs(tmp_path / "stsb", GLUE.tasks["stsb"]).best.endswith("seed_1")
    assert "| STS-B | Spearman correlation | 2 | undefined |  |  |" in write_benchmark_report(tmp_path, GLUE)


def test_the_average_is_that_of_tasks_whatever_their_number_of_scores(tmp_path):
    for name, task in GLUE.tasks.items():
        found = {score: 1.0 if name == "mnli" else 0.1 for score in task.scores}
        splits = {"validation": found} | ({"test": {"label_accuracy": 0.0}} if name == "mnli" else {})
        choose = NUMBER if name == "stsb" else "one"
        write_run(tmp_path / name, splits, f1_label=task.f1_label and "yes", choose=choose)
    table = write_benchmark_report(tmp_path, GLUE)
    assert "each with the mean of its scores, is 0.144." in table  # eight of 0.1, and MNLI with (1 + 0) / 2
    assert "| CoLA | Matthews correlation | 1 | 0.100 | 0.000 |  |" in table
    assert "| MNLI, mismatched | accuracy | 1 | 0.000 |" in table
