"""The special tokens around texts, as the `post_processor` of a `tokenizer.json`."""

from typing import Any


def template(cls: str, cls_id: int, sep: str, sep_id: int, separators: int) -> dict[str, Any]:
    """`[CLS] A [SEP]`, and `[CLS] A [SEP] B [SEP]` of two types; with two separators, RoBERTa's pair of one type."""

    def special(name: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": kind}}

    second = 1 if separators == 1 else 0
    single = [special(cls, 0), {"Sequence": {"id": "A", "type_id": 0}}, special(sep, 0)]
    more = [special(sep, 0)] * (separators - 1)
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, *more, {"Sequence": {"id": "B", "type_id": second}}, special(sep, second)],
        "special_tokens": {
            name: {"id": name, "ids": [i], "tokens": [name]} for name, i in ((cls, cls_id), (sep, sep_id))
        },
    }


def separators_between(processor: dict[str, Any] | None) -> int:
    """The number of separators between A and B, 1 or 2, that a `post_processor` puts; 1 if it says nothing."""
    if processor is None:
        return 1
    if processor["type"] == "Sequence":
        return max(map(separators_between, processor["processors"]), default=1)
    if processor["type"] == "RobertaProcessing":
        return 2
    if processor["type"] == "TemplateProcessing":
        between = 0
        for step in processor["pair"]:
            if step.get("Sequence", {}).get("id") == "B":
                return 2 if between == 2 else 1
            between = between + 1 if "SpecialToken" in step else 0
    return 1


def unusual_frame(processor: dict[str, Any] | None, cls: str, sep: str) -> str:
    """How a `post_processor` frames a text or a pair, if not as `cls A sep` and `cls A sep B sep`; else nothing.

    A second separator between A and B is RoBERTa's, and usual.
    """
    if processor is None:
        return ""
    if processor["type"] == "Sequence":
        return next(filter(None, (unusual_frame(one, cls, sep) for one in processor["processors"])), "")
    if processor["type"] != "TemplateProcessing":
        return ""
    single, pair = [cls, "A", sep], [cls, "A", sep, "B", sep]
    for kind, usual in (("single", (single,)), ("pair", (pair, [*single, *pair[2:]]))):
        found = [part["id"] for step in processor[kind] for part in step.values()]
        if found not in usual:
            return " ".join(found)
    return ""
