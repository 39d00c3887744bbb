"""A run at its kept steps."""

import dataclasses
import itertools
import json
import tracemalloc

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.errors import BertJaxError, ConfigError
from bert_jax.inspection.attention import attention_maps, head_summaries
from bert_jax.inspection.over_time import OverTime, _heads, held_out_texts, over_time
from bert_jax.inspection.over_time_picture import draw_over_time
from bert_jax.inspection.over_time_tables import over_time_lines
from bert_jax.inspection.spectra import isotropy
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.reporting.run_record import read_run
from bert_jax.scores import Score
from bert_jax.tasks.starting_point import tokenizer_files
from bert_jax.training.workdir.checkpoints import save_params
from tests.inspection.small import model
from tests.reporting.fake_run import eval_row, train_row, write_run

TEXTS = ["the cat sat", "down the dog . the cat", "unhappy cats", "the"]


@pytest.fixture
def workdir(tmp_path):
    """A run with checkpoints of three steps, two of them evaluated; no step was trained."""
    rows = [train_row(4), eval_row(4, mlm_loss=2.5), train_row(9), eval_row(9, mlm_loss=1.5)]
    folder = write_run(tmp_path / "run", rows=rows, num_steps=9)
    bert = model(MaskedWords(), SentencePairs())
    values = json.loads((folder / "config.json").read_text())
    values["config"]["model"] = dataclasses.asdict(bert.config)
    files = {"config.json": json.dumps(values).encode(), **tokenizer_files(bert.tokenizer)}
    for step in (4, 8, 9):
        params = jax.tree.map(lambda array, step=step: array * np.float32(1 + step / 10), bert.params)
        save_params(folder / "checkpoints", step, params, files)
    return folder


def test_each_kept_step_is_looked_at_with_the_same_texts(workdir, tmp_path):
    said = []
    found = over_time(workdir, TEXTS, note=said.append)
    assert (found.steps.tolist(), said) == ([4, 8, 9], ["step 4", "step 8", "step 9"])
    assert np.ptp(found.distance[:, 0]) > 0.01
    for i, step in enumerate(found.steps.tolist()):
        bert = bert_jax.load(workdir, step)
        heads = [head_summaries(attention_maps(bert, text)) for text in TEXTS]
        for name in ("distance", "entropy"):
            means = np.mean([getattr(one, name).mean(axis=1) for one in heads], axis=0)
            np.testing.assert_allclose(getattr(found, name)[i], means, rtol=1e-4)
        spread = isotropy(bert, TEXTS)
        np.testing.assert_allclose(found.effective_rank[i], spread.effective_rank, rtol=1e-4)
        assert found.num_tokens == spread.num_tokens
        for name in ("even_distance", "even_entropy"):
            assert getattr(found, name) == pytest.approx(np.mean([getattr(one, name) for one in heads]))
    lines = over_time_lines(found)
    assert lines[2] == f"Attention distance, tokens ({found.even_distance:.3f} if a head looks evenly at all tokens)"
    assert lines[0].endswith(f"run: 3 kept steps, 4 texts of {found.num_tokens:,} tokens in all")
    assert lines[3].split() == ["step", "mean", "layer", "0", "layer", "1"]
    assert [float(cell) for cell in lines[4].split()[2:]] == pytest.approx(found.distance[0].tolist(), abs=6e-4)
    assert [line.split()[:2] for line in lines[-3:]] == [["4", "2.500"], ["8"], ["9", "1.500"]]
    figure = draw_over_time(found, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    assert [axis.get_title(loc="left") for axis in figure.axes][1:] == [
        "Attention entropy, nats",
        "Effective rank of the vectors",
        "Masked language model, loss in nats",
    ]
    with pytest.raises(BertJaxError, match="cannot be written"):
        draw_over_time(found, tmp_path / "nowhere" / "picture.png")


def test_maps_are_summarised_before_those_of_the_next_batch_are_made():
    bert = model()
    texts = ["the cat sat down . " * 11] * 256  # the maps of all of them have 16 MB, of a batch 1 MB
    _heads(bert, texts[:16])  # compiles
    tracemalloc.start()
    heads = _heads(bert, texts)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(heads) == 256
    assert most < 5e6


def test_held_out_texts_are_beginnings_of_documents(config, corpus):
    bert = dataclasses.replace(model(), run=config, tokenizer=corpus.tokenizer)
    split = corpus.validation
    bounds = split.sentence_starts[split.document_starts]
    documents = [corpus.tokenizer.decode(split.token_ids[a:b].tolist()) for a, b in itertools.pairwise(bounds)]
    texts = held_out_texts(bert, 4)
    assert len(texts) == 4
    for text in texts:
        assert any(document.startswith(text) for document in documents)
        assert len(bert.tokenizer.encode(text)) <= bert.max_tokens - 2


def test_what_cannot_be_shown_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="was not trained on a corpus"):
        held_out_texts(model())
    gone = write_run(tmp_path / "run")
    with pytest.raises(BertJaxError, match="There is no checkpoint"):
        over_time(gone)
    with pytest.raises(ConfigError, match="holds no run"):
        over_time(tmp_path)


def test_probes_are_drawn_beside_their_majority(tmp_path):
    name = "eval/probe_mood"
    rows = [{"step": step, f"{name}_accuracy": 0.3 + step / 100, f"{name}_majority": 0.3} for step in (1, 2, 3)]
    folder = write_run(tmp_path / "run", rows=rows)
    score = Score("probe_mood_accuracy", "mood", baseline="probe_mood_majority", baseline_title="majority")
    about = json.loads((folder / "run.json").read_text()) | {"scores": [dataclasses.asdict(score)]}
    (folder / "run.json").write_text(json.dumps(about))
    layers = [np.ones((2, size), np.float32) for size in (7, 7, 8)]
    found = OverTime(read_run(folder), np.array([1, 3]), *layers[:2], 4.5, 2.5, layers[2], 2, 9)
    assert found.scores("probe_mood_accuracy").tolist() == pytest.approx([0.31, 0.33])
    figure = draw_over_time(found)
    axis = figure.axes[3]
    assert axis.get_title(loc="left") == "Linear probes, accuracy"
    assert np.ptp(axis.get_ylim()) == pytest.approx(0.2)  # what is one example more is not made large
    assert "Majority: always the most frequent label." in figure.get_supxlabel()
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["mood", "mood: majority"]
    # Of many layers, the legend names three.
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["layer 0", "layer 3", "layer 6", "an even look"]
    assert len(figure.axes[2].get_legend().get_texts()) == 4
