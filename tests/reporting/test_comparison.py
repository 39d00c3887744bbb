import json

import pytest

from bert_jax.errors import ConfigError, WriteError
from bert_jax.reporting.comparison import draw_runs, write_comparison
from bert_jax.reporting.run_record import read_run
from bert_jax.training.best import Best
from bert_jax.training.workdir.about import About
from tests.reporting.fake_run import START, eval_row, train_row, write_run


def cells(text, title):
    """The cells behind `title`, of each line that begins with it."""
    return [
        [cell.strip() for cell in line.split("|")[2:-1]] for line in text.split("\n") if line.startswith(f"| {title} |")
    ]


def test_scores_gains_cost_and_what_differs(tmp_path):
    better = (train_row(10), train_row(20, tokens_per_second=200.0), eval_row(20, mlm_loss=6.0))
    folders = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", rows=better, optimizer__learning_rate=0.5, data__max_examples=4),
    ]
    text = write_comparison(folders, tmp_path / "out")
    assert text == (tmp_path / "out" / "comparison.md").read_text()
    assert (tmp_path / "out" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    figure = draw_runs([read_run(folder) for folder in folders], ["a", "b"])
    assert figure.axes[0].get_title(loc="left") == "Masked language model, loss in nats: held out"
    with pytest.raises(WriteError, match="cannot be written"):
        draw_runs([read_run(folders[0])], ["a"], tmp_path / "nowhere" / "curves.png")
    for title, expected in (
        ("masked language model, loss in nats", ["7.000", "**6.000**"]),
        ("… better than word frequencies by", ["0.250", "**1.250**"]),
        ("next sentence, accuracy", ["0.750", "0.750"]),
        ("steps", ["20", "20"]),
        ("real tokens", ["7,200", "10,800"]),
        ("real tokens per second (median)", ["100", "150"]),
        ("training time", ["1:12", "1:12"]),
        ("device hours", ["0.02", "0.02"]),
        ("`optimizer.learning_rate`", ["0.0001", "0.5"]),
        ("`data.max_examples`", ["none", "4"]),
    ):
        assert cells(text, title) == [expected], title
    assert "`optimizer.b1`" not in text
    assert "different" not in text


def test_runs_that_have_little_in_common_are_compared(tmp_path):
    tuned = [{"step": 5, "train/loss": 1.0}, {"step": 5, "eval/mnli_accuracy": 0.8}]
    one_segment = [train_row(10), eval_row(10, unigram_mlm_loss=6.5)]
    for row in one_segment:
        for name in [name for name in row if "nsp" in name]:
            del row[name]
    folders = [
        write_run(tmp_path / "pairs"),
        write_run(tmp_path / "order", data__examples="sentence_order"),
        write_run(tmp_path / "half", rows=one_segment, data__examples="full_sentences"),
        write_run(tmp_path / "tuned", rows=tuned, starts=()),
        write_run(tmp_path / "fresh", rows=(), starts=()),
    ]
    text = write_comparison(folders, tmp_path / "out", "tokens")
    assert cells(text, "next sentence, accuracy") == [["0.750", "–", "–", "–", "–"]]
    assert cells(text, "sentence order, accuracy") == [["–", "0.750", "–", "–", "–"]]
    assert cells(text, "mnli_accuracy") == [["–", "–", "–", "0.800", "–"]]
    assert cells(text, "steps") == [["20", "20", "10 of 20", "5 of 20", "0 of 20"]]
    assert "Not in the figure, because they did not record real tokens: tuned." in text
    # Losses on different held-out sets have no best one.
    assert "different held-out sets" in text
    assert "after different numbers of steps" in text
    assert cells(text, "masked language model, loss in nats") == [["7.000", "7.000", "7.000", "–", "–"]]


def test_what_cannot_be_compared_is_said_in_a_sentence(tmp_path):
    run = write_run(tmp_path / "a")
    old = write_run(tmp_path / "old", rows=[{"step": 1, "train/loss": 1.0}])
    for folders, axis, message in (
        ([], "step", "nothing to compare"),
        ([run, run / "." / "..", run], "step", "holds no run"),
        ([run, tmp_path / "b" / ".." / "a"], "step", "There is no folder"),
        ([run, tmp_path / "old" / ".." / "a"], "step", "is given twice"),
        ([old], "hours", "No run recorded the values for --x=hours"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_comparison(folders, tmp_path / "out", axis)
    assert not (tmp_path / "out").exists()


def test_only_an_earlier_comparison_is_replaced(tmp_path):
    folder = write_run(tmp_path / "a")
    write_comparison([folder], tmp_path / "out")
    write_comparison([folder, write_run(tmp_path / "b")], tmp_path / "out")
    assert (tmp_path / "out" / "comparison.md").read_text().startswith("# a, b")
    (tmp_path / "file").write_text("")
    for output, message in ((folder, r"holds other files \(config\.json\)"), (tmp_path / "file", "is a file")):
        with pytest.raises(ConfigError, match=message):
            write_comparison([folder], output)
    assert not (folder / "comparison.md").exists()


def test_a_run_that_keeps_its_best_checkpoint_is_compared_by_it(tmp_path):
    """It stopped early, and a later start found it so: that is no restart."""
    rows = (train_row(10), eval_row(10, mlm_loss=6.0), train_row(20), eval_row(20, mlm_loss=6.5))
    folder = write_run(
        tmp_path / "b", rows, (START, START | {"step": 20}), 50, eval__best_by="mlm_loss", eval__patience=1
    )
    about = folder / "checkpoints" / "20" / "about"
    about.mkdir(parents=True)
    (about / "metadata").write_text(json.dumps(About({}, {}, Best("mlm_loss", True, 10, 6.0, 1)).as_json()))
    text = write_comparison([write_run(tmp_path / "a"), folder], tmp_path / "out")
    assert cells(text, "masked language model, loss in nats") == [["7.000", "**6.000**"]]
    assert cells(text, "steps") == [["20", "20 of 50 (stopped early)"]]
    assert "The scores are from the best or last evaluation of each run" in text
    assert read_run(folder).restarts == []
