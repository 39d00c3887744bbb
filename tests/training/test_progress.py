from bert_jax.training.progress import Progress, duration


def test_durations():
    assert [duration(s) for s in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]
    assert [duration(days * 86_400 + 4 * 3600) for days in (1, 3, 1000)] == ["28:00:00", "3 d 4 h", "1,000 d 4 h"]


def test_plain_lines_elsewhere_than_on_a_terminal(capsys):
    progress = Progress(0, 100, seconds_between_lines=0)
    progress.show(50, {"train/loss": 2.0, "train/mlm_loss": 1.5, "train/tokens_per_second": 12345.0})
    line = capsys.readouterr().err
    assert line.startswith("step 50/100  loss 2.000  mlm_loss 1.500  12.3k tokens/s")
    assert line.endswith("left\n")
    progress.show(51, {"train/loss": 1.5, "train/mlm_loss": 1.5, "train/tokens_per_second": 12345.0})
    assert "loss 1.500  12.3k" in capsys.readouterr().err


def test_quiet_means_quiet(capsys):
    progress = Progress(0, 100, quiet=True)
    progress.note("x")
    progress.show(100, {"train/loss": 1.0, "train/tokens_per_second": 1.0})
    assert capsys.readouterr().err == ""
