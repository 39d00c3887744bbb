import json

import pytest

from bert_jax.errors import CheckpointError
from bert_jax.training.best import Best
from bert_jax.training.workdir.about import DIGEST, About

ABOUT = About(
    {"params/a": 2**32 - 1, "step": 0},
    {"config.json": b'{"task": "x"}\n', "tokenizer/vocab.txt": "[MASK]\nün\n".encode(), "raw": b"\xff\x00"},
    Best("loss", True, 4, 0.1, 2),
    {"eval/loss": 0.1, "eval/accuracy": 1e-9},
)


def test_it_comes_back_as_it_was():
    assert About.read(json.loads(json.dumps(ABOUT.as_json()))) == ABOUT
    assert About.read(json.loads(json.dumps(About({}, {}).as_json()))) == About({}, {})


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing():
    content = json.dumps(ABOUT.as_json()).encode()
    found = 0
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        try:
            assert About.read(json.loads(damaged)) == ABOUT
        except (ValueError, CheckpointError):
            found += 1
    assert found > 0.99 * 8 * len(content)


def test_one_from_before_there_was_a_digest_is_read_but_not_one_that_has_lost_it():
    old = {name: value for name, value in ABOUT.as_json().items() if name not in (DIGEST, "lines")}
    assert About.read(old) == ABOUT
    first = {name: old[name] for name in ("format_version", "checksums", "assets")}
    assert About.read(first) == About(ABOUT.checksums, ABOUT.assets)
    with pytest.raises(CheckpointError, match="does not match its digest"):
        About.read(old | {"dhgest": ABOUT.as_json()[DIGEST]})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], "no JSON object"),
        ({}, "format None"),
        ({"format_version": 1}, "it has format 1, but this version reads format 2"),
        ({"format_version": 2, "checksums": {}}, "assets is missing"),
        ({"format_version": 2, "checksums": {"a": "b"}, "assets": {}}, "checksums.a is not a whole number"),
        ({"format_version": 2, "checksums": {}, "assets": {"a": 5}}, "TypeError"),
        ({"format_version": 2, "checksums": {}, "assets": {"a": {"base64": "x"}}}, "Invalid base64"),
        ({"format_version": 2, "checksums": {}, "assets": {}, "best": {"b": 1}}, "best.by is missing"),
    ],
)
def test_wrong_contents_are_a_sentence(values, told):
    with pytest.raises(CheckpointError, match=told):
        About.read(values)
