"""A file that must not change while it is read."""

import dataclasses
import os

from bert_jax.errors import CorpusError


@dataclasses.dataclass(frozen=True)
class WatchedFile:
    """A file, with its size and the time of its last change in nanoseconds when it was opened."""

    path: str
    size: int
    changed: int

    @classmethod
    def of(cls, path: str) -> "WatchedFile":
        """Looks at a file. Raises OSError if there is none."""
        stat = os.stat(path)
        return cls(path, stat.st_size, stat.st_mtime_ns)

    def check(self) -> None:
        """Raises CorpusError if the file has changed or is gone."""
        try:
            if WatchedFile.of(self.path) == self:
                return
        except OSError:
            pass
        raise CorpusError(
            f"{self.path} has changed while it is in use: do not write to a corpus that a run reads. Run the same"
            " command again, which checks it and resumes."
        )
