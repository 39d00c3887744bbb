import pytest

from bert_jax.data.benchmarks import BENCHMARKS, GLUE, SUPER_GLUE, split_path
from bert_jax.errors import CorpusError
from bert_jax.objectives.labels import NUMBER
from experiments.configs import glue, super_glue


def test_names_columns_labels_and_splits_are_those_of_tensorflow_data_sets():
    from tensorflow_datasets.text.glue import Glue

    known = {config.name: config for config in Glue.BUILDER_CONFIGS}
    assert set(GLUE.tasks) == {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}
    for name, task in GLUE.tasks.items():
        assert task.data_set == f"glue/{name}"
        assert list(task.columns) == list(known[name].text_features), name
        assert task.labels == tuple(known[name].label_classes or ()), name
    assert GLUE.tasks["mnli"].labels == tuple(known["ax"].label_classes)
    assert GLUE.tasks["mnli"].validation == ("validation_matched", "validation_mismatched")


def test_super_glue_has_the_labels_of_its_data_sets():
    assert {name: task.labels for name, task in SUPER_GLUE.tasks.items()} == {
        "boolq": ("False", "True"),
        "cb": ("entailment", "contradiction", "neutral"),
        "copa": (),
        "rte": ("entailment", "not_entailment"),
        "wic": ("False", "True"),
    }


def test_official_scores_and_files():
    scores = {task.title: task.scores for task in GLUE.tasks.values()}
    assert scores.pop("CoLA") == ("label_matthews",)
    assert scores.pop("MRPC") == scores.pop("QQP") == ("label_f1", "label_accuracy")
    assert scores.pop("STS-B") == ("label_spearman", "label_pearson")
    assert set(scores.values()) == {("label_accuracy",)}
    files = {f"{name}{GLUE.ending}" for task in GLUE.tasks.values() for name in task.submissions}
    assert files == {
        *("CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "STS-B.tsv", "QQP.tsv", "QNLI.tsv", "RTE.tsv", "WNLI.tsv"),
        *("MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"),
    }
    files = {f"{name}{SUPER_GLUE.ending}" for task in SUPER_GLUE.tasks.values() for name in task.submissions}
    assert files == {"BoolQ.jsonl", "CB.jsonl", "COPA.jsonl", "RTE.jsonl", "WiC.jsonl"}
    assert all(set(task.answers) in (set(), set(task.labels)) for task in GLUE.tasks.values())


def test_recipes_have_the_data_of_their_task():
    mnli, stsb, mrpc = map(glue.get_config, ("mnli", "stsb", "mrpc"))
    assert mnli.data.validation == "tfds:glue/mnli:validation_matched"
    assert mnli.data.test == "tfds:glue/mnli:validation_mismatched"
    assert mnli.data.label_names == "entailment,neutral,contradiction"
    assert (stsb.data.choose, stsb.data.number_range, stsb.eval.best_by) == (NUMBER, "0,5", "label_spearman")
    assert (mrpc.data.f1_label, mrpc.eval.best_by, mrpc.data.test) == ("equivalent", "label_f1", "")
    assert super_glue.get_config("copa").data.candidates_column == "choice1,choice2"
    assert super_glue.get_config("wic").data.context_column == "word"
    for recipe, benchmark in ((glue, GLUE), (super_glue, SUPER_GLUE)):
        for name, task in benchmark.tasks.items():
            config = recipe.get_config(name)
            assert config.data.problems() == [], name
            assert config.data.train == f"tfds:{task.data_set}:train"
            assert (config.optimizer.learning_rate, config.train.num_epochs) == (2e-5, 3.0)


def test_local_files_may_have_the_names_of_glue_or_of_tensorflow_data_sets(tmp_path):
    for name in ("MNLI/dev_matched.tsv", "sts-b/validation.jsonl", "SST-2/train.tsv", "SST-2/train.jsonl", "x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert split_path("glue/mnli", "validation_matched", tmp_path) == f"{tmp_path}/MNLI/dev_matched.tsv"
    assert split_path("glue/stsb", "validation", tmp_path) == f"{tmp_path}/sts-b/validation.jsonl"
    assert split_path("glue/stsb", "validation") == "tfds:glue/stsb:validation"
    with pytest.raises(CorpusError, match=r"has no file rte/train \(\.jsonl, .*add it, or leave out its task"):
        split_path("glue/rte", "train", tmp_path)
    with pytest.raises(CorpusError, match=r"train\.jsonl and .*train\.tsv may both be the split train"):
        split_path("glue/sst2", "train", tmp_path)


def test_names_are_unique():
    titles = [task.title for benchmark in BENCHMARKS.values() for task in benchmark.tasks.values()]
    assert sorted(titles) == sorted([*set(titles), "RTE"])  # both benchmarks have RTE
