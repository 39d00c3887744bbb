"""The checksum against published values, and against the definition bit by bit."""

import numpy as np
import pytest

from bert_jax.interop.crc32c import ROW_BYTES, crc32c, masked
from tests.quickness import at_once


def by_definition(content):
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_values_of_the_standard():
    """RFC 3720, B.4, and the usual check value."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("size", [0, 1, 4, ROW_BYTES - 1, 2 * ROW_BYTES - 1, 2 * ROW_BYTES, 5 * ROW_BYTES + 3])
def test_any_length_and_any_cut(size):
    content = np.random.default_rng(size).bytes(size)
    whole = crc32c(content)
    assert whole == by_definition(content)
    for cut in (0, size // 3, size):
        assert crc32c(content[cut:], crc32c(content[:cut])) == whole


def test_the_mask_is_leveldbs():
    checksum = crc32c(b"foo")
    assert masked(checksum) not in (checksum, masked(masked(checksum)))
    unrotated = (masked(checksum) - 0xA282EAD8) & 0xFFFFFFFF
    assert (unrotated >> 17 | unrotated << 15) & 0xFFFFFFFF == checksum


def test_a_large_text_takes_no_long_time():
    """64 MB take 0.1 s; byte by byte they would take 5 s."""
    content = bytes(1 << 26)
    with at_once(2):
        crc32c(content)
