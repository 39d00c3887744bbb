"""Attention maps packed into text that is small enough for a page."""

import base64
import dataclasses

import numpy as np

MOST_BYTES = 3_000_000  # of all maps of a page; their text takes a third more
HIGHEST = 255


@dataclasses.dataclass(frozen=True)
class PackedMaps:
    """The maps of L layers of h heads on S tokens, whose weights are rounded to one byte each.

    A byte b stands for the weight (b / 255)²: 1 / S is not rounded to 0 for any S that a model takes.

    Attributes:
      shape: (L, h, S).
      kept: how many keys of each query are kept, the most attended ones.
      covered: the share of attention that the kept keys have, as a mean over all queries; 1 if all are kept.
      weights: base 64 of uint8 [L, h, S, kept].
      keys: base 64 of little-endian uint16 [L, h, S, kept], the kept keys; empty if all are kept.
    """

    shape: tuple[int, int, int]
    kept: int
    covered: float
    weights: str
    keys: str


def pack_maps(weights: np.ndarray, most_bytes: int = MOST_BYTES) -> PackedMaps:
    """Packs maps: all weights if they fit, else as many of each query as fit, at least one.

    Args:
      weights: float32 [L, h, S, S].
      most_bytes: for all maps, before they become text.
    """
    layers, heads, size = weights.shape[:3]
    if weights.size <= most_bytes:
        return PackedMaps((layers, heads, size), size, 1.0, _text(_bytes(weights)), "")
    kept = max(1, min(size, most_bytes // (layers * heads * size * 3)))
    keys = np.empty((layers, heads, size, kept), "<u2")
    values = np.empty((layers, heads, size, kept), np.uint8)
    covered = 0.0
    for layer, maps in enumerate(weights):  # an index of all would take more memory than the maps
        best = np.argpartition(maps, size - kept, axis=-1)[..., size - kept :]
        best.sort(axis=-1)  # by place
        chosen = np.take_along_axis(maps, best, axis=-1)
        keys[layer], values[layer] = best, _bytes(chosen)
        covered += float(chosen.sum(-1, dtype=np.float64).mean()) / layers
    return PackedMaps((layers, heads, size), kept, covered, _text(values), _text(keys))


def unpack_maps(packed: PackedMaps) -> np.ndarray:
    """Returns float32 [L, h, S, S], with 0 for keys that were not kept; the page's script does the same."""
    layers, heads, size = packed.shape
    stored = np.frombuffer(base64.b64decode(packed.weights), np.uint8).reshape(layers, heads, size, packed.kept)
    values = (stored.astype(np.float32) / HIGHEST) ** 2
    if not packed.keys:
        return values
    keys = np.frombuffer(base64.b64decode(packed.keys), "<u2").reshape(values.shape)
    maps = np.zeros((layers, heads, size, size), np.float32)
    np.put_along_axis(maps, keys.astype(np.int64), values, axis=-1)
    return maps


def _bytes(weights: np.ndarray) -> np.ndarray:
    return np.round(np.sqrt(np.clip(weights, 0, 1)) * HIGHEST).astype(np.uint8)


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
