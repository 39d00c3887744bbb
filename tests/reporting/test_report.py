import json

import pytest

from bert_jax.errors import ConfigError
from bert_jax.markdown import code, plain, row
from bert_jax.reporting import write_report
from tests.reporting.fake_run import ROWS, START, eval_row, train_row, write_run


def test_a_report_without_model_and_corpus_holds_the_rest(tmp_path):
    starts = (START, START | {"step": 10, "command": "python -m experiments.pretrain --config.train.log_every=1"})
    text = write_report(write_run(tmp_path / "run", starts=starts, optimizer__learning_rate=0.5))
    assert text == (tmp_path / "run" / "report.md").read_text()
    assert (tmp_path / "run" / "report" / "curves.png").exists()
    for part in (
        "trained for 20 steps of 256 rows × 128 tokens, 7,200 real tokens in all. Trained by masked language model and"
        " next-sentence prediction. 15 % of the tokens are predicted.",
        "| masked language model, loss in nats | 7.000 | 7.250 (word frequencies) | 0.250 |",
        "| next sentence, accuracy | 0.750 | 0.500 (majority) | 0.250 |",
        "There is no corpus at corpora/none",
        "no readable checkpoint",
        "| speed | 100 real tokens per second (median) |",
        "| MFU | 25.0 % of the measured matrix peak, 100 billion FLOP/s (median) |",
        "| training | 1:12 |",
        "| evaluation | 0:04 |",
        "| operations | 7.2e+10 FLOPs, real tokens only |",
        "| device hours | 0.02, training only |",
        "| restarts | 1, after step 10 |",
        "Started: 2020-01-01T00:00:00+00:00, commit abc1234, 1 x CPU, jax 0.10.2.",
        "```\npython -m experiments.pretrain --workdir=runs/a\n```",
        "Resumed after step 10:",
        "Versions: jax 0.10.2.",
        "| `optimizer.learning_rate` | 0.5 | 0.0001 |",
    ):
        assert part in text, part
    own, _, everything = text.partition("<details>")
    assert "`optimizer.b1`" not in own
    assert "| `optimizer.b1` | 0.9 |" in everything


def test_what_was_not_recorded_is_left_out(tmp_path):
    row = {"step": 10, "train/loss": 3.0}
    folder = write_run(tmp_path / "run", rows=[row], starts=())
    (folder / "run.json").unlink()
    text = write_report(folder)
    assert "10 of 20 steps (unfinished)" in text
    assert "not been evaluated yet" in text
    for part in ("## Speed", "## How it was made", "Versions", "real tokens"):
        assert part not in text
    assert "None of" not in text


def test_bad_steps_are_told(tmp_path):
    bad = [{"step": 3, "why": ""}, {"step": 5, "why": ""}, {"step": 19, "why": "", "rewound_to": 10, "batches": 9}]
    text = write_report(write_run(tmp_path / "run", bad_steps=bad))
    assert "| bad steps | 2 skipped: 3, 5; rewound from 19 to 10 |" in text
    assert "bad steps" not in write_report(write_run(tmp_path / "good"))


def test_starts_alike_are_told_once_and_without_a_commit_none_is_told(tmp_path):
    start = START | {"git_commit": None}
    text = write_report(write_run(tmp_path / "run", starts=(start, start | {"step": 10})))
    assert text.count("```\npython") == 1
    assert "commit" not in text
    assert "| restarts | 1, after step 10 |" in text


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ("balanced", "and next-sentence prediction on pairs whose label was drawn at random."),
        ("sentence_order", "and sentence-order prediction."),
        ("full_sentences", "by masked language model alone."),
        ("candidates", "and next-sentence prediction among the 8 candidates of a group."),
    ],
)
def test_objectives_have_words(tmp_path, examples, words):
    folder = write_run(tmp_path / "run", data__examples=examples, data__phases="10: mask_rate=0.1")
    text = write_report(folder)
    assert words in text
    assert "- from step 11: data: mask_rate=0.1" in text


def test_chance_is_the_baseline_among_candidates(tmp_path):
    scores = eval_row(20, candidates_accuracy=0.75, candidates_chance=0.125)
    text = write_report(write_run(tmp_path / "run", rows=(*ROWS[:2], scores), data__examples="candidates"))
    assert "| next sentence among 8, accuracy | 0.750 | 0.125 (chance) | 0.625 |" in text


def test_another_corpus_at_the_same_place_counts_as_gone(tmp_path, corpus, corpus_path):
    folder = write_run(tmp_path / "run", data__corpus=corpus_path)
    for fingerprint, there in (("0123", False), (f"{corpus.fingerprint} 0123", True)):
        (folder / "run.json").write_text(json.dumps({"data_fingerprints": {"corpus": fingerprint}}))
        text = write_report(folder)
        assert ("is not the one that this run was trained on" in text) != there
        assert ("## Corpus" in text) == there
    assert f"{corpus.train.num_documents:,} | {corpus.train.num_tokens:,}" in text


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no run"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_text_is_not_taken_for_markdown(tmp_path):
    assert plain("a*b_c [d]") == r"a\*b\_c \[d\]"
    assert code("`") == "`` ` ``"
    assert row(["a|b", "c"]) == r"| a\|b | c |"
    rows = (train_row(10), train_row(20), eval_row(20, **{"mlm_loss/a|b": 1.0}))
    assert r"model on a\|b, loss in nats | 1.000 |" in write_report(
        write_run(tmp_path / "run", rows=rows, sources=["a|b", "c"])
    )


def test_scores_before_training_have_a_column_of_their_own(tmp_path):
    rows = [eval_row(0, mlm_loss=5.5), *ROWS]
    text = write_report(write_run(tmp_path / "run", rows=rows))
    assert "|  | before training | model | baseline | better by |" in text
    assert "| masked language model, loss in nats | 5.500 | 7.000 | 7.250 (word frequencies) | 0.250 |" in text
    assert "before training" not in write_report(write_run(tmp_path / "other"))
