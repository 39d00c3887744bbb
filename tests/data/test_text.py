import collections

from bert_jax.data import text


def test_policy_is_applied_and_counted():
    counts = collections.Counter()
    assert text.decode(b"\xef\xbb\xbfa\x00b\xff\r\nc\rd", counts) == "ab\ufffd\nc\nd"
    assert counts == {"replaced_characters": 1, "control_characters": 2, "carriage_returns": 2}


def test_lone_surrogates_are_replaced():
    counts = collections.Counter()
    assert text.clean("a\ud800b", counts) == "a\ufffdb"
    assert counts["replaced_characters"] == 1


def test_only_line_feeds_end_paragraphs():
    assert text.paragraphs("one\u2028still one\n\n two ") == ["one\u2028still one", "two"]


def test_sentences_of_several_languages():
    assert text.sentences("Dr. Smith went home. He slept.", "en") == ["Dr. Smith went home.", "He slept."]
    assert text.sentences("今天天气很好。我们去公园吧！", "zh") == ["今天天气很好。", "我们去公园吧！"]
