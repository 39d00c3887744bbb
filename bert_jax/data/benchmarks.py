"""The tasks of GLUE and SuperGLUE: their data sets, columns, labels, official scores and submission files.

GLUE: Wang et al. 2018 (arXiv 1804.07461); SuperGLUE: Wang et al. 2019 (arXiv 1905.00537), without ReCoRD, MultiRC and
WSC. Names, splits, columns and labels are those of TensorFlow Datasets (`glue/mrpc`, `super_glue/cb`).
"""

import dataclasses
import os
from collections.abc import Mapping

from etils import epath

from bert_jax.data.tables.tfds import PREFIX
from bert_jax.errors import CorpusError

ACCURACY, F1, MACRO_F1 = "label_accuracy", "label_f1", "label_macro_f1"
MATTHEWS, PEARSON, SPEARMAN = "label_matthews", "label_pearson", "label_spearman"
CHOICE_ACCURACY = "choice_accuracy"
# Endings of local files, and what GLUE's own files call the splits.
ENDINGS = (".jsonl", ".tsv", ".parquet", ".csv", ".jsonl.gz", ".tsv.gz", ".csv.gz")
LOCAL_SPLITS = (("validation", "dev"), ("validation", "val"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkTask:
    """One task of a benchmark.

    Attributes:
      name: as users write it: `mrpc`.
      title: as papers and the server write it: `MRPC`.
      data_set: its name in TensorFlow Datasets: `glue/mrpc`.
      columns: the text, or the text and the second text; of COPA, the columns of the candidates.
      labels: the names of the labels, in the benchmark's order, which is that of the numbers in its files; none if
        labels are numbers.
      scores: the official scores by their names in a run, the first chooses the best checkpoint.
      f1_label: the label whose F1 is an official score.
      context_column: a text that is put before the first one.
      number_range: the lowest and the highest number.
      validation: the splits to score on; the first chooses the best checkpoint.
      submissions: data set and split of each file that the server wants, by the name of the file.
      answers: what the server calls the labels, where it is not their names.
      sequence_length: tokens in a row.
      batch_size: rows in a step; they hold about 32 examples, as a batch of BERT.
    """

    name: str
    title: str
    data_set: str
    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()
    scores: tuple[str, ...] = (ACCURACY,)
    f1_label: str = ""
    context_column: str = ""
    number_range: tuple[float, float] | None = None
    validation: tuple[str, ...] = ("validation",)
    submissions: Mapping[str, tuple[str, str]]
    answers: Mapping[str, object] = dataclasses.field(default_factory=dict)
    sequence_length: int = 128
    batch_size: int

    @property
    def chooses(self) -> bool:
        """Whether it is multiple choice."""
        return self.scores == (CHOICE_ACCURACY,)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Several tasks.

    Attributes:
      title: `GLUE`.
      tasks: the tasks by name.
      ending: of the submission files, `.tsv` or `.jsonl`.
    """

    title: str
    tasks: Mapping[str, BenchmarkTask]
    ending: str


def _glue(title: str, columns: str, batch_size: int, **fields) -> BenchmarkTask:
    name = title.lower().replace("-", "")
    fields.setdefault("submissions", {title: (f"glue/{name}", "test")})
    return BenchmarkTask(
        name=name, title=title, data_set=f"glue/{name}", columns=tuple(columns.split()), batch_size=batch_size, **fields
    )


def _numbered(*labels: str) -> dict[str, object]:
    return {label: number for number, label in enumerate(labels)}


_YES_NO = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
GLUE = Benchmark(
    "GLUE",
    {
        task.name: task
        for task in (
            _glue(
                *("CoLA", "sentence", 4),
                labels=("unacceptable", "acceptable"),
                scores=(MATTHEWS,),
                answers=_numbered("unacceptable", "acceptable"),
            ),
            _glue(
                *("SST-2", "sentence", 4),
                labels=("negative", "positive"),
                answers=_numbered("negative", "positive"),
            ),
            _glue(
                *("MRPC", "sentence1 sentence2", 13),
                labels=("not_equivalent", "equivalent"),
                scores=(F1, ACCURACY),
                f1_label="equivalent",
                answers=_numbered("not_equivalent", "equivalent"),
            ),
            _glue(
                *("STS-B", "sentence1 sentence2", 8),
                scores=(SPEARMAN, PEARSON),
                number_range=(0.0, 5.0),
            ),
            _glue(
                *("QQP", "question1 question2", 8),
                labels=("not_duplicate", "duplicate"),
                scores=(F1, ACCURACY),
                f1_label="duplicate",
                answers=_numbered("not_duplicate", "duplicate"),
            ),
            _glue(
                *("MNLI", "premise hypothesis", 10),
                labels=_NLI,
                validation=("validation_matched", "validation_mismatched"),
                submissions={
                    "MNLI-m": ("glue/mnli", "test_matched"),
                    "MNLI-mm": ("glue/mnli", "test_mismatched"),
                    "AX": ("glue/ax", "test"),  # the diagnostic set, which has no training examples
                },
            ),
            _glue("QNLI", "question sentence", 13, labels=_YES_NO),
            _glue("RTE", "sentence1 sentence2", 18, labels=_YES_NO),
            _glue(
                *("WNLI", "sentence1 sentence2", 10),
                labels=("not_entailment", "entailment"),
                answers=_numbered("not_entailment", "entailment"),
            ),
        )
    },
    ".tsv",
)


def _super_glue(title: str, columns: str, batch_size: int, **fields) -> BenchmarkTask:
    name = title.lower()
    return BenchmarkTask(
        name=name,
        title=title,
        data_set=f"super_glue/{name}",
        columns=tuple(columns.split()),
        batch_size=batch_size,
        submissions={title: (f"super_glue/{name}", "test")},
        **fields,
    )


_TRUTH = {"False": "false", "True": "true"}
SUPER_GLUE = Benchmark(
    "SuperGLUE",
    {
        task.name: task
        for task in (
            _super_glue("BoolQ", "question passage", 20, labels=tuple(_TRUTH), answers=_TRUTH, sequence_length=256),
            _super_glue(
                *("CB", "premise hypothesis", 10),
                labels=("entailment", "contradiction", "neutral"),
                scores=(ACCURACY, MACRO_F1),
                sequence_length=256,
            ),
            _super_glue("COPA", "choice1 choice2", 10, scores=(CHOICE_ACCURACY,)),
            _super_glue("RTE", "premise hypothesis", 18, labels=_YES_NO),
            _super_glue(
                *("WiC", "sentence1 sentence2", 8), labels=tuple(_TRUTH), answers=_TRUTH, context_column="word"
            ),
        )
    },
    ".jsonl",
)
BENCHMARKS = {"glue": GLUE, "super_glue": SUPER_GLUE}


def split_path(data_set: str, split: str, folder: epath.PathLike = "") -> str:
    """Returns where a split is: in TensorFlow Datasets, or in a folder of the user's.

    Args:
      data_set: such as `glue/mrpc`.
      split: such as `validation`.
      folder: has a folder for each task with a file for each split: `mrpc/validation.jsonl`, or in GLUE's own names
        `MRPC/dev.tsv`. Case and hyphens do not matter. Empty: TensorFlow Datasets.

    Raises:
      CorpusError: the folder has no such file, or several.
    """
    if not folder:
        return f"{PREFIX}{data_set}:{split}"
    task = data_set.rpartition("/")[2]
    wanted = [split, *(split.replace(name, other) for name, other in LOCAL_SPLITS if name in split)]
    root = epath.Path(folder).expanduser()
    inside = [one for one in root.iterdir() if _plain(one.name) == task and one.is_dir()] if root.is_dir() else []
    found = [
        os.fspath(file)
        for one in inside
        for file in one.iterdir()
        if any(file.name == f"{name}{ending}" for name in wanted for ending in ENDINGS)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CorpusError(f"{folder} has no file {task}/{split} ({', '.join(ENDINGS)}): add it, or leave out its task.")
    raise CorpusError(f"{' and '.join(sorted(found))} may both be the split {split}: remove or rename one.")


def _plain(name: str) -> str:
    return name.lower().replace("-", "")
