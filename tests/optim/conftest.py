"""Packed rows for tests of how a model learns."""

from tests.model.conftest import packed

__all__ = ["packed"]
