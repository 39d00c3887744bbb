import dataclasses
import json

from bert_jax.reporting.results import test_scores_table as scores_table
from bert_jax.scores import Score
from tests.reporting.test_sweep import record


def test_the_test_table_has_the_scores_of_the_run_and_says_which_are_undefined(tmp_path):
    run = record(tmp_path, 0.7)
    run = dataclasses.replace(run, scores=[*run.scores, Score("ndcg_10", "retrieval, nDCG@10")])
    (tmp_path / "predictions").mkdir()
    scores = {"step": 20, "scores": {"test": {"accuracy": 0.6, "majority": 0.5}}}
    (tmp_path / "predictions" / "scores.json").write_text(json.dumps(scores))
    text = "\n".join(scores_table(run))
    assert "| accuracy | 0.600 | 0.500 (majority) |" in text
    assert "| loss | undefined |  |" in text
    assert "retrieval" not in text  # the run has no such score at all
