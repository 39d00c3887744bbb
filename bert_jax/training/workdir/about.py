"""What a checkpoint says about itself: JSON beside its arrays, with a digest of its own.

Without the digest, a flipped bit could change the tokenizer or the config that comes with intact parameters.
"""

import base64
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from bert_jax.errors import CheckpointError
from bert_jax.forms import problem
from bert_jax.training.best import Best

FORMAT_VERSION = 2  # 1 had no task in config.json
DIGEST = "digest"
# All that was there before there was a digest. With any other field, one is missing.
WITHOUT_DIGEST = {"format_version", "checksums", "best", "scores", "assets"}

FORM = {
    "checksums": {str: int},
    "assets": {str: object},
    "best?": {"by": str, "lower_is_better": bool, "step?": int, "value?": float, "evaluations_since": int},
    "scores?": {str: float},
    "lines?": int,
}


@dataclasses.dataclass(frozen=True)
class About:
    """Attributes:
    checksums: of each array, by name.
    assets: small files that belong to the checkpoint, by name.
    best: the best evaluation up to this step; None if the run keeps none.
    scores: the held-out scores of this step, under their names in the log; empty if it was not evaluated.
    lines: how many lines `metrics.jsonl` had up to this step; None if that is not known.
    """

    checksums: dict[str, int]
    assets: dict[str, bytes]
    best: Best | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    lines: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns this as a JSON-like value. Scores that are not finite are left out."""
        values = {
            "format_version": FORMAT_VERSION,
            "checksums": self.checksums,
            "best": dataclasses.asdict(self.best) if self.best else None,
            "scores": {name: value for name, value in self.scores.items() if math.isfinite(value)},
            "lines": self.lines,
            "assets": _as_json(self.assets),
        }
        return values | {DIGEST: _digest(values)}

    @classmethod
    def read(cls, values: Any) -> "About":
        """The inverse of `as_json`. Checkpoints from before there was a digest are read without one.

        Raises:
          CheckpointError: it is damaged, or of another format.
        """
        if not isinstance(values, dict):
            raise CheckpointError("about/metadata is damaged: it is no JSON object")
        rest = {name: value for name, value in values.items() if name != DIGEST}
        has_one = DIGEST in values or not rest.keys() <= WITHOUT_DIGEST
        if has_one and values.get(DIGEST) != _digest(rest):
            raise CheckpointError("about/metadata does not match its digest: it is damaged")
        if (version := rest.get("format_version")) != FORMAT_VERSION:
            raise CheckpointError(f"it has format {version}, but this version reads format {FORMAT_VERSION}")
        if wrong := problem(rest, FORM):
            raise CheckpointError(f"about/metadata is damaged: {wrong}")
        try:
            best = Best(**rest["best"]) if rest.get("best") else None
            return cls(rest["checksums"], _from_json(rest["assets"]), best, rest.get("scores") or {}, rest.get("lines"))
        except (KeyError, TypeError, ValueError) as error:  # another field of the best, or base 64 that is none
            raise CheckpointError(f"about/metadata is damaged: {type(error).__name__}, {error}") from None


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)  # pure ASCII, whatever the names hold
    return hashlib.sha256(text.encode()).hexdigest()


def _as_json(assets: dict[str, bytes]) -> dict[str, str | dict[str, str]]:
    """Packs files for JSON: text stays readable, anything else becomes base 64."""
    packed: dict[str, str | dict[str, str]] = {}
    for name, content in assets.items():
        try:
            packed[name] = content.decode()
        except UnicodeDecodeError:
            packed[name] = {"base64": base64.b64encode(content).decode()}
    return packed


def _from_json(packed: dict[str, str | dict[str, str]]) -> dict[str, bytes]:
    return {
        name: value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])
        for name, value in packed.items()
    }
