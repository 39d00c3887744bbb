"""Corpora in a bucket: built in a local folder and uploaded, read through a local copy of the index.

Local folders are under `$XDG_CACHE_HOME/bert_jax` (`~/.cache/bert_jax` if that is not set).
"""

import os
import pathlib
from collections.abc import Callable

from etils import epath

from bert_jax import hashing, storage
from bert_jax.errors import CorpusError

is_remote = storage.is_remote


def cache_folder() -> epath.Path:
    """The folder for local copies."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return epath.Path(root) / "bert_jax"


def cached(fingerprint: str) -> epath.Path:
    """The local folder for the index of the corpus with this fingerprint."""
    return cache_folder() / "corpora" / fingerprint


def build_folder(output: epath.PathLike) -> epath.Path:
    """The local folder in which a corpus for `output` is built; always the same one, so that a build can resume."""
    return cache_folder() / "builds" / hashing.fingerprint(os.fspath(output))


def upload(local: epath.Path, output: epath.Path, progress: Callable[[str], None]) -> None:
    """Copies a corpus to `output`, the manifest last, and removes the local folder."""
    files = sorted(path for path in map(epath.Path, pathlib.Path(local).rglob("*")) if not path.is_dir())
    manifest = local / "manifest.json"
    progress(f"uploading {len(files)} files to {output}")
    for path in [path for path in files if path != manifest] + [manifest]:
        target = output / str(path.relative_to(local))
        target.parent.mkdir(parents=True, exist_ok=True)
        path.copy(target, overwrite=True)
    local.rmtree()


def local_index(directory: epath.Path, manifest: dict, arrays: tuple[str, ...]) -> epath.Path:
    """Copies the index of a remote corpus, unless an earlier call did, and returns the folder of the copy.

    The copy is stored under the corpus' fingerprint; the caller verifies it. Incomplete or damaged files are copied
    again.

    Raises:
      CorpusError: the copy cannot be written.
    """
    copy = cached(manifest["fingerprint"])
    for split in manifest["splits"]:
        for name in arrays:
            file = copy / "index" / split / f"{name}.npy"
            if file.exists() and hashing.sha256_once(str(file)) == manifest["splits"][split]["index"][name]:
                continue
            # Several processes on a host may open the corpus at once.
            partial = storage.temporary_path(file)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                (directory / "index" / split / f"{name}.npy").copy(partial, overwrite=True)
                partial.replace(file)
            except OSError as error:
                raise CorpusError(
                    f"{partial} cannot be written ({error.strerror or error}): make room, or choose another cache by"
                    " XDG_CACHE_HOME."
                ) from error
    return copy
