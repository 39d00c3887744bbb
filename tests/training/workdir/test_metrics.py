import json
import struct
import time

import pytest
from tensorboardX.proto import event_pb2

from bert_jax.errors import WriteError
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


def test_damaged_lines_are_left_out_told_and_kept_aside(tmp_path, caplog):
    good = [{"step": step, "train/loss": 0.5} for step in (1, 4)]
    broken = [
        b"\0\0\0",
        b'{"step": 2, "train/lo',
        b'{"train/loss": 1.0}',
        b'{"step": 3, "train/loss": "\xff"}',
        b"[1]",
        b'{"step": -1, "train/loss": 1.0}',
        b"",
    ]
    lines = [json.dumps(good[0]).encode(), *broken, json.dumps(good[1]).encode()]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert read_metrics(tmp_path) == good
    assert "metrics.jsonl: left out 7 lines that cannot be read (line 2, 3, 4, 5, 6, …)" in caplog.text
    assert (tmp_path / "metrics.jsonl").read_bytes().count(b"\n") == 9  # readers change nothing
    for _ in range(2):
        MetricWriter(tmp_path, after_step=4).close()
    assert (tmp_path / "damaged_metrics.jsonl").read_bytes() == b"\n".join(broken) + b"\n"
    caplog.clear()
    assert read_metrics(tmp_path) == good
    assert not caplog.text


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    writer = MetricWriter(tmp_path, after_step=0)
    writer.write(1, {"train/loss": 0.5})
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(writer, "_file", full)
    with pytest.raises(
        WriteError, match=r"cannot be written \(No space left on device, [\d.,]+ MB are free\): make room or mend"
    ):
        writer.write(2, {"train/loss": 0.5})
    with pytest.raises(WriteError):
        writer.close()
    assert [row["step"] for row in read_metrics(tmp_path)] == [1]


def test_tensorboard_hides_what_is_trained_again(tmp_path):
    for after_step, steps in ((0, (1, 2)), (1, (2,))):
        writer = MetricWriter(tmp_path, after_step)
        for step in steps:
            writer.write(step, {"train/loss": float(step)})
        writer.close()
        time.sleep(1.1)  # the names of event files hold seconds
    first, second = sorted((tmp_path / "tensorboard").iterdir())
    assert [(e.step, e.session_log.status) for e in events(second)[1:3]] == [(2, 0), (2, 1)]
    assert [(e.step, v.tag, v.simple_value) for e in events(first) for v in e.summary.value] == [
        (1, "train/loss", 1.0),
        (2, "train/loss", 2.0),
    ]


def events(file):
    """The events in a file of records: a length, its checksum, the content, its checksum."""
    content, found = file.read_bytes(), []
    while content:
        (size,) = struct.unpack("Q", content[:8])
        found.append(event_pb2.Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return found


def test_a_new_run_has_no_lines(tmp_path):
    assert read_metrics(tmp_path) == []


def test_lines_that_are_lost_are_told(tmp_path, caplog):
    writer = MetricWriter(tmp_path, after_step=-1)
    for step in (1, 2, 3):
        writer.write(step, {"train/loss": 0.5})
    writer.close()
    assert writer.lines == 3
    MetricWriter(tmp_path, 2, known=2).close()
    MetricWriter(tmp_path, 2).close()  # an older checkpoint does not know
    assert not caplog.messages
    MetricWriter(tmp_path, 5, known=5).close()
    assert caplog.messages[0].endswith(
        "metrics.jsonl has lost 3 of the 5 lines that were written up to step 5: curves and reports lack them."
    )


def test_values_that_are_not_finite_are_left_out(tmp_path):
    writer = MetricWriter(tmp_path, after_step=-1)
    writer.write(1, {"train/loss": 0.5, "a": float("nan"), "b": float("inf")})
    writer.close()
    assert read_metrics(tmp_path) == [{"step": 1, "train/loss": 0.5}]
