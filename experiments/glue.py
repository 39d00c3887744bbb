"""GLUE or SuperGLUE: trains a model on every task, prints the table of scores, and writes the files for the server.

    python -m experiments.glue --init_from=runs/articles --workdir=runs/glue --num_seeds=5

WORKDIR/TASK holds the runs of a task, WORKDIR/report.md the table, WORKDIR/submission the predictions of the test
splits. The same command goes on where an interrupted one stopped. The recipes are `experiments/configs/glue.py` and
`super_glue.py`; --config.FIELD changes a field in all of them. The data come from TensorFlow Datasets, which downloads
them, or from --data.
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

import bert_jax
from bert_jax.data.benchmarks import BENCHMARKS, Benchmark, BenchmarkTask
from bert_jax.errors import ConfigError, did_you_mean
from bert_jax.reporting.benchmark import TaskRuns, write_benchmark_report
from bert_jax.reporting.results import read_results
from bert_jax.submissions import write_submissions
from bert_jax.tasks.classification import ClassificationConfig
from bert_jax.tasks.registry import TASKS
from bert_jax.training import processes
from experiments import config_flags, devices, training
from experiments.configs.glue import benchmark_config

SCRIPT = "experiments.glue"
FROM_MNLI = ("mrpc", "stsb", "rte")  # as RoBERTa's authors did (Liu et al. 2019, arXiv 1907.11692)
_INIT_FROM = flags.DEFINE_string("init_from", None, "A pretrained run, or a released folder.", required=True)
_BENCHMARK = flags.DEFINE_enum("benchmark", "glue", list(BENCHMARKS), "Which tasks, and which form of submission.")
_TASKS = flags.DEFINE_list("tasks", None, "Some tasks, such as mrpc,rte; all, if not given.")
_NUM_SEEDS = flags.DEFINE_integer("num_seeds", 1, "Train each task with so many seeds.", lower_bound=1)
_FROM_MNLI = flags.DEFINE_bool(
    "from_mnli", False, "Start MRPC, STS-B and RTE from the MNLI model of the first seed, with a new head."
)
_DATA = flags.DEFINE_string(
    "data", "", "A folder of local files, DATA/TASK/SPLIT.tsv (or .jsonl, .parquet, .csv), instead of TFDS."
)


def main(given: Mapping[str, Any]) -> None:
    benchmark, workdir = BENCHMARKS[_BENCHMARK.value], training.workdir()
    tasks = chosen_tasks(benchmark, _TASKS.value, _FROM_MNLI.value)
    configs = {}
    for task in tasks:
        start = f"{workdir}/mnli" if _FROM_MNLI.value and task.name in FROM_MNLI else ""
        configs[task.name] = task_config(task, given, _INIT_FROM.value, start, _NUM_SEEDS.value, _DATA.value)
    devices.start()
    table = ""
    with training.compiled_once():
        for task in tasks:
            config = configs[task.name]
            if config.train.init_from != _INIT_FROM.value and not read_results(config.train.init_from):
                raise ConfigError(f"--from_mnli: the run in {config.train.init_from} is not finished: train it first.")
            folders = _train(f"{workdir}/{task.name}", config)
            if not processes.is_first() or not all(map(read_results, folders)):  # a dry run, or stopped before its end
                continue
            model = bert_jax.load(TaskRuns(task, folders).best)
            files = write_submissions(benchmark, task, model, f"{workdir}/submission", _DATA.value)
            print(f"For the server: {', '.join(files) or 'nothing, there is no test split'}")
            table = write_benchmark_report(workdir, benchmark)
    if table:
        print(f"{table}\nThe report is in {workdir}/report.md")


def chosen_tasks(benchmark: Benchmark, names: list[str] | None, from_mnli: bool) -> list[BenchmarkTask]:
    """Returns the tasks to train, in order.

    Raises:
      ConfigError: there is no such task, or MNLI is missing.
    """
    for name in names or ():
        if name not in benchmark.tasks:
            known = ", ".join(benchmark.tasks)
            near = did_you_mean(name, benchmark.tasks)
            raise ConfigError(f"--tasks={name} is no task of {benchmark.title}, which has {known}.{near}")
    found = [task for name, task in benchmark.tasks.items() if not names or name in names]
    if not from_mnli:
        return found
    if not any(task.name == "mnli" for task in found):
        raise ConfigError("--from_mnli needs the MNLI model: add mnli to --tasks; a run that is there is not repeated.")
    return sorted(found, key=lambda task: task.name != "mnli")


def task_config(
    task: BenchmarkTask, given: Mapping[str, Any], init_from: str, mnli: str, num_seeds: int, folder: str
) -> Any:
    """Returns the config of a task.

    Args:
      task: the task.
      given: fields that differ from the recipe.
      init_from: the pretrained model.
      mnli: the folder of the MNLI runs to start from instead; empty: none.
      num_seeds: how many they are.
      folder: local data.
    """
    config = benchmark_config(task, folder)
    config.train.init_from = init_from
    config_flags.replace(config, given)
    if task.chooses:  # its candidates share a row, but a row that was shortened holds none that is longer
        config.data.longest_example = min(config.data.longest_example, config.data.sequence_length)
    if mnli:
        config.train.init_from = f"{mnli}/seed_{config.train.seed}" if num_seeds > 1 else mnli
        config.train.init_skip = "^label/"  # the new task has other labels
    return config


def _train(folder: str, config: Any) -> list[str]:
    """Runs or resumes a task, and returns the folders of its runs."""
    (kind,) = (kind for kind in TASKS.values() if kind.config_class is type(config))
    if _NUM_SEEDS.value > 1:
        return training.train_seeds_in(folder, kind, config, SCRIPT, _NUM_SEEDS.value)
    training.train_in(folder, kind, config, SCRIPT)
    return [folder]


if __name__ == "__main__":
    config_flags.run_without_file(main, ClassificationConfig())
