"""The table of a benchmark: the official scores of each task, over seeds, beside the majority."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.data.benchmarks import ACCURACY, CHOICE_ACCURACY, MATTHEWS, Benchmark, BenchmarkTask
from bert_jax.markdown import table
from bert_jax.objectives import agreement
from bert_jax.reporting.results import read_predictions, read_results
from bert_jax.reporting.run_record import read_run
from bert_jax.reporting.run_scores import as_text
from bert_jax.reporting.seeds import mean_and_deviation
from bert_jax.scores import Score
from bert_jax.tasks.labelled import TEST, VALIDATION


@dataclasses.dataclass(frozen=True)
class TaskRuns:
    """The finished runs of a task, one for each seed.

    Attributes:
      task: the task.
      workdirs: their folders, at least one.
    """

    task: BenchmarkTask
    workdirs: Sequence[str]

    @property
    def best(self) -> str:
        """The folder of the run with the best official score on the validation split."""
        found = [self._scores(VALIDATION, folder).get(self.task.scores[0]) for folder in self.workdirs]
        return self.workdirs[int(np.argmax([-np.inf if one is None else one for one in found]))]

    def values(self, split: str, score: str) -> list[float | None]:
        """A score of each run; None where it is undefined."""
        return [self._scores(split, folder).get(score) for folder in self.workdirs]

    def interval(self, split: str, score: str) -> str:
        """The 95 % interval of a mean accuracy, given the number of examples; empty for another score."""
        known = [one for one in self.values(split, score) if one is not None]
        if score not in (ACCURACY, CHOICE_ACCURACY) or not known:
            return ""
        count = sum(1 for _ in read_predictions(self.workdirs[0], split))
        limits = agreement.share_interval(round(float(np.mean(known)) * count), count)
        return f"{as_text(limits[0])} to {as_text(limits[1])} (n = {count:,})" if limits else ""

    def baseline(self, split: str, score: str) -> str:
        """What always giving the most frequent label has; empty where it is undefined."""
        if score == MATTHEWS:
            return as_text(0.0)
        found = self._scores(split, self.workdirs[0]).get(self._declared[score].baseline)
        return "" if found is None else as_text(found)

    def title(self, score: str) -> str:
        """A score's name for people, such as `accuracy`."""
        return self._declared[score].title.partition(", ")[2]

    @functools.cached_property
    def _declared(self) -> dict[str, Score]:
        return {score.name: score for score in read_run(self.workdirs[0]).scores}

    def _scores(self, split: str, folder: str) -> dict[str, float]:
        return read_results(folder).get("scores", {}).get(split, {})


def finished_runs(folder: epath.PathLike, task: BenchmarkTask) -> TaskRuns | None:
    """Returns the finished runs of a task in `folder`, the folder itself or its `seed_N`; None if there are none."""
    folder = epath.Path(folder)
    if read_results(folder):
        return TaskRuns(task, [str(folder)])
    seeds = [one for one in folder.glob("seed_*") if read_results(one)]
    seeds.sort(key=lambda one: int(one.name.removeprefix("seed_")))
    return TaskRuns(task, list(map(str, seeds))) if seeds else None


def write_benchmark_report(folder: epath.PathLike, benchmark: Benchmark) -> str:
    """Writes `report.md` about all finished runs in `folder`, and returns its table.

    Args:
      folder: has a folder for each task.
      benchmark: the benchmark.
    """
    found = [finished_runs(f"{folder}/{name}", task) for name, task in benchmark.tasks.items()]
    tasks = [one for one in found if one]
    rows, means = [], []
    for runs in tasks:
        task = runs.task
        splits = [(VALIDATION, task.title), (TEST, f"{task.title}, mismatched")][: len(task.validation)]
        means.append([])
        for split, title in splits:
            for score in task.scores:
                values = runs.values(split, score)
                means[-1] += [one for one in values if one is not None]
                rows.append(
                    [
                        title,
                        runs.title(score),
                        str(len(values)),
                        mean_and_deviation(values),
                        runs.baseline(split, score),
                        runs.interval(split, score),
                    ]
                )
    lines = table(["", "score", "seeds", "mean ± deviation", "majority", "95 % interval"], rows, numbers=True)
    if len(tasks) == len(benchmark.tasks) and all(means):
        average = np.mean([np.mean(one) for one in means])
        lines.append(f"The average of the tasks, each with the mean of its scores, is {as_text(float(average))}.")
    text = "\n".join(lines)
    about = (
        "Scores on the validation splits, which also chose the checkpoints. The deviation is that of the seeds (n - 1),"
        " the interval that of the examples. The files for the server are in `submission/`; they are of the seed with"
        " the best score."
    )
    storage.write_bytes(epath.Path(folder) / "report.md", f"# {benchmark.title}\n\n{about}\n\n{text}\n".encode())
    return text
