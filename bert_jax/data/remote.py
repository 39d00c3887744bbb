"""Corpora in a bucket: built in a local folder and uploaded; read through a local copy of what training maps.

Local folders lie below `$XDG_CACHE_HOME/bert_jax` (`~/.cache/bert_jax` where that is not set).
"""

import os
import pathlib
from collections.abc import Callable

from etils import epath

from bert_jax import storage


def is_remote(path: epath.PathLike) -> bool:
    """Whether a path lies in a bucket, so that it cannot be memory-mapped or renamed."""
    return "://" in os.fspath(path)


def cache_folder() -> epath.Path:
    """Where local copies lie."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return epath.Path(root) / "bert_jax"


def build_folder(output: epath.PathLike) -> epath.Path:
    """The local folder in which a corpus for `output` is built; always the same, so that a build can go on."""
    return cache_folder() / "builds" / storage.fingerprint(os.fspath(output))


def upload(local: epath.Path, output: epath.Path, progress: Callable[[str], None]) -> None:
    """Copies a corpus, the manifest last, and removes the local folder."""
    files = sorted(path for path in map(epath.Path, pathlib.Path(local).rglob("*")) if not path.is_dir())
    manifest = local / "manifest.json"
    progress(f"uploading {len(files)} files to {output}")
    for path in [path for path in files if path != manifest] + [manifest]:
        target = output / str(path.relative_to(local))
        target.parent.mkdir(parents=True, exist_ok=True)
        path.copy(target, overwrite=True)
    local.rmtree()


def local_index(directory: epath.Path, manifest: dict, arrays: tuple[str, ...]) -> epath.Path:
    """Copies the index of a remote corpus, unless an earlier call did, and returns the copy's folder.

    The copy is kept by the corpus' fingerprint; the caller verifies it. A copy that is not whole is made anew.
    """
    copy = cache_folder() / "corpora" / manifest["fingerprint"]
    for split, facts in manifest["splits"].items():
        for name in arrays:
            file = copy / "index" / split / f"{name}.npy"
            if file.exists() and storage.sha256_once(str(file)) == facts["index"][name]:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            # Under a name of this process, because several processes of a host may open the corpus at once.
            partial = file.parent / f"{file.name}.{os.getpid()}"
            (directory / "index" / split / f"{name}.npy").copy(partial, overwrite=True)
            partial.replace(file)
    return copy
