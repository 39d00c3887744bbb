import collections
import time

import pytest

from bert_jax.corpus.builder import text


def split(paragraph, language="en"):
    counts = collections.Counter()
    return text.sentences(paragraph, language, counts), counts


def test_policy_is_applied_and_counted():
    counts = collections.Counter()
    assert text.decode(b"\xef\xbb\xbfa\x00b\xff\r\nc\rd", counts) == "ab\ufffd\nc\nd"
    assert counts == {"replaced_characters": 1, "control_characters": 2, "carriage_returns": 2}


def test_replacement_characters_of_the_text_itself_do_not_count():
    counts = collections.Counter()
    assert text.decode("a\ufffdb".encode(), counts) == "a\ufffdb"
    assert text.decode("a\ufffdb".encode() + b"\xff", counts) == "a\ufffdb\ufffd"
    assert counts == {"replaced_characters": 1}


def test_lone_surrogates_are_replaced():
    counts = collections.Counter()
    assert text.clean("a\ud800b", counts) == "a\ufffdb"
    assert counts["replaced_characters"] == 1


def test_only_line_feeds_end_paragraphs():
    assert text.paragraphs("one\u2028still one\n\n two ") == ["one\u2028still one", "two"]


def test_sentences_of_several_languages():
    assert split("Dr. Smith went home. He slept.")[0] == ["Dr. Smith went home.", "He slept."]
    for language in ("zh", "ja"):
        expected = ["今天天气很好。", "我们去公园吧！", "好吗？"]
        assert split("今天天气很好。我们去公园吧！好吗？", language)[0] == expected


@pytest.mark.parametrize("language", ["xx", "zz-top", "", "日"])
def test_unknown_languages_have_the_common_rules(language):
    assert split("It rained. We stayed!", language)[0] == ["It rained.", "We stayed!"]


def test_other_spaces_behind_initials_are_no_trouble():
    sentences, counts = split("He met J.\u00a0R. Smith. She\u2003left.\tBye.")
    assert " ".join(sentences) == "He met J. R. Smith. She left. Bye."
    assert not counts


def test_a_panic_of_the_splitter_costs_one_paragraph_its_sentences(monkeypatch):
    class PanicException(BaseException):
        pass

    def panics(*_):
        raise PanicException("not a boundary")

    monkeypatch.setattr(text.sentencex, "segment", panics)
    assert split("One. Two.") == (["One. Two."], {"unsplit_paragraphs": 1})


@pytest.mark.parametrize("sentence", ["This is one of them. ", "今天天气很好，我们去公园吧。"])
def test_windows_change_no_sentence(sentence):
    count = 5 * text.WINDOW // len(sentence)
    sentences, counts = split(sentence * count)
    assert sentences == [sentence.strip()] * count
    assert not counts


def test_a_line_of_a_million_characters_takes_linear_time_and_keeps_its_text():
    for line in ("a" * 10**6, "word " * 200_000, "。" * 10**6, "今天天气很好。" * 140_000):
        start = time.perf_counter()
        sentences, _ = split(line)
        # Quadratic splitting would take hours on the last two.
        assert time.perf_counter() - start < 20
        assert sum(len(s.replace(" ", "")) for s in sentences) == len(line.replace(" ", ""))
        assert max(map(len, sentences)) <= text.WINDOW


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\r", "\r\n"])
def test_separators_never_glue_words(separator):
    assert text.paragraphs(text.clean(f"one{separator}two", collections.Counter())) == ["one", "two"]
