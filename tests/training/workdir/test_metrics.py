from bert_jax.training.workdir.metrics import MetricWriter, read_metrics


def test_lines_after_the_restored_step_and_half_lines_are_removed(tmp_path):
    writer = MetricWriter(tmp_path, after_step=0)
    for step in (1, 2, 3):
        writer.write(step, {"train/loss": 0.1 * step})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "train/lo')
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]
    writer = MetricWriter(tmp_path, after_step=2)
    writer.write(3, {"train/loss": 7.0})
    writer.close()
    assert read_metrics(tmp_path) == [
        {"step": 1, "train/loss": 0.1},
        {"step": 2, "train/loss": 0.2},
        {"step": 3, "train/loss": 7.0},
    ]
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_new_run_has_no_lines(tmp_path):
    assert read_metrics(tmp_path) == []
