"""The event files that TensorBoard reads, written by the calling thread.

The `SummaryWriter` of tensorboardX writes in a thread of its own. A full disk ends that thread, and then the run would
wait for it forever.
"""

import time
from collections.abc import Mapping
from typing import Any

from etils import epath


class EventFile:
    """A new event file, local or in a bucket.

    Args:
      folder: TensorBoard's folder of the run; made if it does not exist.
      after_step: TensorBoard hides what earlier files say about later steps.
    """

    def __init__(self, folder: epath.PathLike, after_step: int):
        # They import PyTorch if it is installed, which is slow: only runs should wait for it.
        from tensorboardX import event_file_writer, record_writer, summary
        from tensorboardX.proto import event_pb2

        messages: Any = event_pb2  # its classes are made at run time
        record_writer.directory_check(str(folder))
        self._writer = event_file_writer.EventsWriter(f"{folder}/events")
        self._new_event, self._scalar = messages.Event, summary.scalar
        self._add(after_step + 1, file_version="brain.Event:2")
        self._add(after_step + 1, session_log=messages.SessionLog(status=messages.SessionLog.START))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the values of a step, and flushes them."""
        for name, value in values.items():
            self._add(step, summary=self._scalar(name, value))
        self._writer.flush()

    def _add(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._new_event(wall_time=time.time(), step=step, **content))

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()
