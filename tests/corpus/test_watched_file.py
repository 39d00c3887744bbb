import os

import pytest

from bert_jax.corpus.watched_file import WatchedFile
from bert_jax.errors import CorpusError


def overwrite(file):
    with file.open("r+b") as opened:
        opened.write(b"other")


@pytest.mark.parametrize(
    "change",
    [
        overwrite,
        lambda file: os.truncate(file, 1),
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b"longer"),
    ],
)
def test_any_change_is_seen(change, tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"bytes")
    os.utime(file, ns=(0, 1))
    watched = WatchedFile.of(str(file))
    file.read_bytes()
    watched.check()
    change(file)
    with pytest.raises(CorpusError, match=r"a has changed while it is in use"):
        watched.check()
