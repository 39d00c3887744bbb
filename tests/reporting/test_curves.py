import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from bert_jax.reporting import curves, panel
from bert_jax.reporting.run_record import read_run
from bert_jax.training.best import Best
from tests.reporting.fake_run import ROWS, eval_row, train_row, write_run


@pytest.fixture
def titles(monkeypatch):
    """The titles of the panels that have something to show."""
    seen = []
    draw = panel._draw

    def remember(axis, one, x_axis):
        seen.append(one.title)
        return draw(axis, one, x_axis)

    monkeypatch.setattr(panel, "_draw", remember)
    return seen


def test_there_is_a_panel_for_each_quantity_and_none_without_values(tmp_path, titles):
    layers = {f"grad_norm/{name}": 0.5 for name in ("embeddings", "layer_0", "layer_1", "pooler")}
    rows = (train_row(10, **layers), train_row(20), eval_row(20, **{"mlm_loss/en": 6.0, "mlm_loss/de": 8.0}))
    curves.draw_curves(read_run(write_run(tmp_path / "run", rows=rows, sources=("en", "de"))), tmp_path / "a.png")
    assert titles == [
        "Masked language model, loss in nats",
        "Masked language model, accuracy",
        "Next sentence, accuracy",
        "Masked language model, loss in nats: held out, by source",
        "Learning rate",
        "Gradient norm",
        "Gradient norm by layer",
        "Throughput, real tokens per second",
        "MFU, % of the measured matrix peak",
    ]
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    titles.clear()
    only = {"step": 10, "train/loss": 3.0, "train/learning_rate": 1e-3}
    curves.draw_curves(read_run(write_run(tmp_path / "other", rows=[only])), tmp_path / "b.png")
    assert titles == ["Loss", "Learning rate"]


@pytest.mark.parametrize("count", [0, 1, 3000])
def test_any_number_of_points_is_drawn(tmp_path, count):
    rows = [train_row(step, grad_norm=0.0 if step == 2 else 1.0) for step in range(1, count + 1)]
    curves.draw_curves(read_run(write_run(tmp_path / "run", rows=rows)), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_gradients_of_zero_have_no_place_on_a_scale_of_powers(tmp_path, titles):
    rows = [train_row(step, grad_norm=0.0) for step in (1, 2, 3)]
    curves.draw_curves(read_run(write_run(tmp_path / "run", rows=rows)), tmp_path / "a.png")
    assert "Gradient norm" not in titles


def test_a_spike_leaves_the_frame_and_is_marked(tmp_path):
    losses = np.linspace(9, 3, 100)
    losses[50] = 500
    rows = [train_row(step, mlm_loss=loss) for step, loss in enumerate(losses, 1)]
    run = read_run(write_run(tmp_path / "run", rows=rows))
    axis = Figure().subplots()
    widths, outside = panel._draw(axis, curves._score(run, curves.scores_of(run)[0]), "step")
    assert axis.get_ylim()[1] < 12
    assert outside
    assert widths == {9}
    marks = [line for line in axis.lines if line.get_marker() == "^"]
    assert [line.get_xdata().tolist() for line in marks] == [[51]]


def test_the_sources_with_the_highest_loss_are_shown(tmp_path):
    losses = {f"mlm_loss/s{i}": float(i) for i in range(12)}
    run = read_run(
        write_run(tmp_path / "run", rows=(*ROWS[:2], eval_row(20, **losses)), sources=[f"s{i}" for i in range(12)])
    )
    shown = curves._parts(run, curves.scores_of(run)[0])
    assert [line.label for line in shown.lines] == [f"s{i}" for i in range(11, 3, -1)]
    assert shown.title.endswith("(8 highest of 12)")
    assert len({(line.color, line.dash) for line in shown.lines}) == 8


def test_the_best_step_is_marked_and_the_run_from_scratch_drawn(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        curves, "draw_panels", lambda panels, file, marks, note: seen.update(panels=panels, marks=marks)
    )
    path = write_run(tmp_path / "run", rows=(train_row(10), eval_row(10), *ROWS))
    write_run(path / "from_scratch")
    best = Best("mlm_accuracy", False, 10, 0.2, 1)
    curves.draw_curves(dataclasses.replace(read_run(path), best=best), tmp_path / "a.png")
    assert (10, "-.") in seen["marks"]
    assert [line.label for line in seen["panels"][0].lines] == ["training", "held out", "held out, from scratch"]
