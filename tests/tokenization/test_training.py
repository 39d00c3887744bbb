"""Trained vocabularies: the same for the same text, in the promised order, and used as trained."""

import collections
import os
import subprocess
import sys

import pytest

from bert_jax.errors import TokenizerError
from bert_jax.tokenization import training
from bert_jax.tokenization.training import count_words, train_sentencepiece, train_wordpiece
from tests.tokenization.samples import FIVE, sentences

SCRIPT = """
from tests.tokenization.samples import sentences
from bert_jax.tokenization.training import count_words, train_byte_level, train_sentencepiece, train_wordpiece
print(train_wordpiece(count_words(sentences(), True), 400, lowercase=True).sha256)
for model_type in ("unigram", "bpe"):
    print(train_sentencepiece(sentences(), 300, model_type=model_type, lowercase=False).sha256)
print(train_byte_level(sentences(), 500).sha256)
"""


@pytest.fixture(params=["wordpiece", "unigram", "bpe"])
def train(request):
    """One call for the three trainers: texts, vocab_size, options."""

    def wordpiece(texts, vocab_size, *, lowercase=True, **options):
        return train_wordpiece(count_words(texts, lowercase), vocab_size, lowercase=lowercase, **options)

    def sentencepiece(texts, vocab_size, *, lowercase=True, **options):
        return train_sentencepiece(texts, vocab_size, model_type=request.param, lowercase=lowercase, **options)

    return wordpiece if request.param == "wordpiece" else sentencepiece


def test_same_text_gives_the_same_vocabulary_in_any_process_on_any_threads():
    found = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"RAYON_NUM_THREADS": n, "PYTHONHASHSEED": n, "TOKENIZERS_PARALLELISM": "true"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in "124"
    ]
    assert len(found[0].split()) == 4
    assert len(set(found)) == 1


def test_order_of_words_does_not_matter():
    counts = count_words(sentences(), True)
    backwards = collections.Counter(dict(reversed(list(counts.items()))))
    first, second = (train_wordpiece(words, 300, lowercase=True) for words in (counts, backwards))
    assert first.vocabulary == second.vocabulary


def test_specials_then_extras_then_reserved_slots_come_first(train):
    tokenizer = train(sentences(), 200, special_tokens=["<spk>", "the"], reserved_slots=3)
    head = (*FIVE, "<spk>", "the", "[unused0]", "[unused1]", "[unused2]")
    assert tokenizer.vocabulary[: len(head)] == head
    assert tokenizer.special_ids == tuple(range(7))
    assert len(set(tokenizer.vocabulary)) == tokenizer.vocab_size <= 200
    ids = tokenizer.encode("<spk> the [unused1] [MASK] cat")
    assert min(i for i in ids if i != tokenizer.unk_id) >= len(head)
    assert min(tokenizer.ordinary_ids) == len(head)


def test_text_of_known_letters_is_spelt(train):
    tokenizer = train(sentences(), 300)
    for text in sentences()[:50]:
        ids = tokenizer.encode(text)
        assert tokenizer.unk_id not in ids
        assert "".join(tokenizer.decode(ids).split()) == "".join(text.lower().split())


def test_frequent_words_become_pieces(train):
    tokenizer = train(["zebra crossing zebras crossings"] * 200 + sentences(), 200)
    assert {"zebra", "crossing"} <= {piece.removeprefix("▁") for piece in tokenizer.vocabulary}


def test_cased_and_uncased(train):
    texts = ["Paris PARIS paris Ünable Σας"] * 50
    known = {lowercase: train(texts, 60, lowercase=lowercase) for lowercase in (True, False)}
    assert known[True].encode("PARIS") == known[True].encode("paris")
    assert known[False].encode("PARIS") != known[False].encode("paris")
    for tokenizer in known.values():
        assert tokenizer.unk_id not in tokenizer.encode(texts[0])
    assert not any(piece != piece.lower() for piece in known[True].vocabulary[5:])


def test_rare_characters_are_left_out_by_their_share(train):
    texts = ["common letters only"] * 500 + ["q"]
    for coverage, known in ((0.9995, False), (1.0, True)):
        tokenizer = train(texts, 50, character_coverage=coverage)
        assert (tokenizer.unk_id not in tokenizer.encode("q")) is known


def test_what_stands_alone_has_no_later_form():
    vocabulary = train_wordpiece(count_words(["月が出た。カタ, a-b 月"], False), 100, lowercase=False).vocabulary
    assert {"月", "。", ",", "-", "出", "が", "##が", "カ", "##カ"} <= set(vocabulary)
    assert not {"##月", "##。", "##,", "##-", "##出"} & set(vocabulary)


def test_words_are_counted_as_the_tokenizer_cuts_them():
    assert count_words(["Ünable, Ünable"], lowercase=True) == {"unable": 2, ",": 1}
    assert count_words(["Ünable"], lowercase=False) == {"Ünable": 1}
    assert count_words(["月月a\0b"], lowercase=True) == {"月": 2, "ab": 1}
    assert count_words(["ΑΣ σας"], lowercase=True) == {"ας": 1, "σας": 1}


def test_the_most_frequent_words_enter_merging_with_ties_by_the_word(monkeypatch):
    counts = collections.Counter({"cigar": 9, "bliss": 9, "alike": 9, "frequent": 50})
    monkeypatch.setattr(training, "MERGED_WORDS", 2)
    vocabulary = train_wordpiece(counts, 200, lowercase=True, character_coverage=1.0).vocabulary
    assert {"frequent", "alike"} <= set(vocabulary)
    assert not {"bliss", "cigar"} & set(vocabulary)


def test_frequent_words_are_not_read_more_often_than_stated(monkeypatch):
    counts = collections.Counter({word: 1000 * count for word, count in count_words(sentences(), True).items()})
    expected = train_wordpiece(counts, 300, lowercase=True)
    monkeypatch.setattr(training, "MERGED_OCCURRENCES", counts.total() // 1000 + 1)
    assert train_wordpiece(counts, 300, lowercase=True).vocabulary == expected.vocabulary
    read = sum(
        len(line.split()) for line in training._spelt(counts, {c: i for i, c in enumerate(set("".join(counts)))})
    )
    assert counts.total() // 1001 < read <= training.MERGED_OCCURRENCES


def test_a_merge_seen_once_is_not_learnt():
    vocabulary = train_wordpiece(collections.Counter({"free": 20, "quiz": 1}), 60, lowercase=True).vocabulary
    assert "free" in vocabulary
    assert "quiz" not in vocabulary


def test_no_sentence_is_left_out_for_a_sign_or_its_length():
    """SentencePiece by itself skips sentences with its sign of the unknown, and long ones."""
    for sentence in ("zebra ▅ zebra", "zebra " * 2000, "zebra \0 zebra \ud800"):
        tokenizer = train_sentencepiece([*sentences(), *[sentence] * 20], 130, lowercase=True)
        assert tokenizer.unk_id not in tokenizer.encode("zebra")
        assert "▁zebra" in tokenizer.vocabulary


def test_a_small_text_gives_fewer_pieces(train):
    tokenizer = train(sentences(30), 5000)
    assert 40 < tokenizer.vocab_size < 5000
    assert tokenizer.unk_id not in tokenizer.encode(sentences(30)[0])


def test_errors_say_what_to_do(train):
    for texts in ([], [""], [" \n"]):
        with pytest.raises(TokenizerError, match="no text"):
            train(texts, 100)
    with pytest.raises(TokenizerError, match=r"use at least \d\d"):
        train(sentences(), 10)
    with pytest.raises(TokenizerError, match="contains a space"):
        train(sentences(), 200, special_tokens=["a b"])
    for tokens in (["[MASK]"], ["<a>", "<a>"], ["[unused0]"]):
        with pytest.raises(TokenizerError, match="already"):
            train(sentences(), 200, special_tokens=tokens, reserved_slots=1)
