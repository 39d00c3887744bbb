"""A small model, and the page about it."""

import pytest

from bert_jax.inspection.page.document import write_page
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from tests.inspection.small import model

TEXT = "the cat [MASK] down </script> שלום 東京 <b>"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "pretrained"
    model(MaskedWords(), SentencePairs()).save_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def page(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "page.html"
    write_page(folder, file, TEXT)
    return file.read_text()
