import types

import pytest

from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.tasks import filled_masks, pretraining_report


def guesses_the(max_tokens):
    """A model that gives the same guess for any text."""
    guess = types.SimpleNamespace(word="the", probability=0.5)
    return types.SimpleNamespace(max_tokens=max_tokens, fill_mask=lambda text: [[guess]])


@pytest.mark.parametrize("limit", [6, 40])
def test_sentences_fit_the_model(corpus, limit, monkeypatch):
    monkeypatch.setattr(filled_masks, "_whole_words", lambda ids, tokenizer: list(range(len(ids))))
    filled = filled_masks.fill_held_out_masks(guesses_the(limit + 2), corpus, count=4)
    lengths = [len(corpus.tokenizer.encode_masked(row.text)) for row in filled]
    assert len(lengths) == 4
    assert 5 < max(lengths) <= limit
    assert (max(lengths) > 6) == (limit == 40)


def test_masks_of_every_source_are_filled(tmp_path, text_file):
    hindi = "वह हर दिन किताब पढ़ता है और पानी पीता है।"
    (tmp_path / "hi.txt").write_text("\n\n".join([f"{hindi} {i}." for i in range(40)]))
    (tmp_path / "signs.txt").write_text("\n\n".join(["+ " * 12] * 40))
    names = ("documents", "hi", "signs")
    specs = [f"text:{text_file}", f"text:{tmp_path}/hi.txt", f"text:{tmp_path}/signs.txt"]
    corpus = prepare_corpus(
        specs, tmp_path / "c", vocab_size=600, num_workers=1, validation_fraction=0.2, progress=lambda line: None
    )
    assert corpus.sources == names
    filled = filled_masks.fill_held_out_masks(guesses_the(64), corpus, count=8)
    assert [row.source for row in filled] == ["documents"] * 3 + ["hi"] * 3
    assert all(row.answer in hindi for row in filled[3:])
    lines = "\n".join(pretraining_report._filled_masks(filled, "", corpus.sources))
    assert lines.count("\n- hi: ") == 3
    assert "None from signs: no held-out sentence is suitable." in lines
