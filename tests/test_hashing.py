import hashlib

import numpy as np

from bert_jax import hashing


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 5_000_000)
    assert hashing.sha256(tmp_path / "a") == hashlib.sha256(b"x" * 5_000_000).hexdigest()
    assert hashing.fingerprint({"a": 1, "b": 2}) == hashing.fingerprint({"b": 2, "a": 1}) != hashing.fingerprint({})


def test_mix32_changes_half_the_bits():
    x = np.arange(10_000, dtype=np.uint32)
    flipped = np.bitwise_count(hashing.mix32(x) ^ hashing.mix32(x ^ np.uint32(1 << 7)))
    assert abs(flipped.mean() - 16) < 0.2


def test_an_integer_is_mixed_as_an_array_is():
    x = np.array([0, 1, 2**63, 2**64 - 1, 12345678901234567890], np.uint64)
    with np.errstate(over="ignore"):
        assert hashing.mix64(x).tolist() == [hashing.mix64_integer(int(i)) for i in x]


def test_a_file_is_read_again_when_it_has_changed(tmp_path, monkeypatch):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    assert hashing.sha256_once(str(file)) == hashlib.sha256(b"one").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(hashing, "sha256", lambda _: 1 / 0)
        hashing.sha256_once(str(file))
    file.write_bytes(b"other")
    assert hashing.sha256_once(str(file)) == hashlib.sha256(b"other").hexdigest()


def test_shares_are_even_and_belong_to_their_purpose():
    shares = np.array([hashing.share(f"document {i}", "split") for i in range(2000)])
    others = np.array([hashing.share(f"document {i}", "order") for i in range(2000)])
    assert (shares >= 0).all()
    assert (shares < 1).all()
    assert abs(np.histogram(shares, 10, (0, 1))[0] - 200).max() < 75  # more than five deviations
    assert abs(np.corrcoef(shares, others)[0, 1]) < 0.1
