import numpy as np
import pytest

from bert_jax.data.blocks import Pieces
from bert_jax.data.examples import Examples, _truncate, make_examples, split_pairs
from bert_jax.data.kinds import KINDS

SEQUENCE = 64
STREAM = (0, 0, 0, 0)


@pytest.fixture(scope="module")
def text():
    """Sentence offsets of 2,000 documents of 1 to 30 sentences of 1 to 40 tokens, and the documents as pieces."""
    rng = np.random.default_rng(0)
    sentences = rng.integers(1, 31, 2000)
    starts = np.concatenate([[0], np.cumsum(rng.integers(1, 41, sentences.sum()))])
    ends = np.cumsum(sentences)
    return starts, Pieces(ends - sentences, ends, np.arange(2000))


@pytest.fixture(scope="module")
def examples(text):
    return make_pairs(text[1], text[0], SEQUENCE, 0.1, STREAM)


def make_pairs(pieces, starts, length, short, stream, kind="bert"):
    longest = length - KINDS[kind].special_tokens
    return make_examples(pieces, starts, KINDS[kind].make, longest, short, 0, stream)


def document_of(token, text):
    starts, pieces = text
    return np.searchsorted(starts[pieces.begin], token, side="right") - 1


def test_the_same_stream_gives_the_same_pairs(text, examples):
    again = make_pairs(text[1], text[0], SEQUENCE, 0.1, STREAM)
    other = make_pairs(text[1], text[0], SEQUENCE, 0.1, (0, 1, 0, 0))
    np.testing.assert_array_equal(examples.a_start, again.a_start)
    assert len(other) != len(examples) or (other.b_start != examples.b_start).any()
    assert len(set(examples.key.tolist())) == len(examples)


def test_segments_are_not_empty_fit_and_stay_in_their_documents(text, examples):
    assert (examples.a_length >= 1).all()
    assert (examples.b_length >= 1).all()
    assert (examples.length <= SEQUENCE).all()
    for start, length in ((examples.a_start, examples.a_length), (examples.b_start, examples.b_length)):
        np.testing.assert_array_equal(document_of(start, text), document_of(start + length - 1, text))


def test_labels_say_where_b_is_from(text, examples):
    same = document_of(examples.a_start, text) == document_of(examples.b_start, text)
    np.testing.assert_array_equal(same, ~examples.label)
    follows = ~examples.label
    assert (examples.b_start >= examples.a_start + examples.a_length)[follows].all()
    # Without truncation B begins exactly where A ends.
    whole = follows & (examples.length < SEQUENCE)
    np.testing.assert_array_equal((examples.a_start + examples.a_length)[whole], examples.b_start[whole])


def test_drawn_labels_are_half_and_half_and_forced_ones_are_random(examples):
    assert abs(examples.label[examples.is_free].mean() - 0.5) < 0.03
    assert examples.label[~examples.is_free].all()
    assert examples.label.mean() > 0.51  # the known surplus of the released procedure


def test_each_sentence_is_used_once_as_a_or_as_next(text, examples):
    starts, _ = text
    short = make_pairs(text[1], text[0], 10_000, 0.0, STREAM)  # long rows: nothing is cut
    used = np.zeros(starts[-1], int)
    for start, length in zip(short.a_start, short.a_length, strict=True):
        used[start : start + length] += 1
    for start, length in zip(short.b_start[~short.label], short.b_length[~short.label], strict=True):
        used[start : start + length] += 1
    assert (used == 1).all()


def test_some_documents_are_cut_short(text):
    lengths = [make_pairs(text[1], text[0], 512, p, STREAM).length.mean() for p in (0.0, 0.5)]
    assert lengths[1] < 0.8 * lengths[0]


def test_a_lone_document_has_no_counted_random_pairs():
    starts = np.arange(0, 1001, 10)
    examples = make_pairs(Pieces(np.array([0]), np.array([100]), np.array([0])), starts, SEQUENCE, 0.0, STREAM)
    assert not (examples.is_true & examples.label).any()
    assert examples.is_true[~examples.label].all()


def test_truncation_takes_from_the_longer_segment_at_either_end():
    def truncated(a, b, n=4000):
        full = np.full(n, 1)
        pair = Examples(
            a_start=full * 0,
            a_length=full * a,
            b_start=full * 1000,
            b_length=full * b,
            key=np.arange(n).astype(np.uint32),
            label=full > 0,
            is_true=full > 0,
            is_free=full > 0,
            source=full * 0,
            document=full * 0,
        )
        return _truncate(pair, 61, STREAM)

    # The loop of google-research/bert: while too long, drop one from the longer, from B where they are equal.
    for a, b in ((100, 20), (20, 100), (50, 50), (51, 50), (300, 200), (61, 1), (30, 31)):
        slow_a, slow_b = a, b
        while slow_a + slow_b > 61:
            if slow_a > slow_b:
                slow_a -= 1
            else:
                slow_b -= 1
        cut = truncated(a, b)
        assert (cut.a_length == slow_a).all()
        assert (cut.b_length == slow_b).all()
        lost = a - slow_a
        front = cut.a_start
        assert front.min() >= 0
        assert front.max() <= lost
        # Each lost token falls at the front with probability one half.
        assert abs(front.mean() - lost / 2) <= 5 * np.sqrt(lost / 4 / 4000)
        if lost > 4:
            assert abs(front.var() / (lost / 4) - 1) < 0.15


def test_sentence_order_swaps_neighbours_half_of_the_time(text):
    made = make_pairs(text[1], text[0], SEQUENCE, 0.1, STREAM, "sentence_order")
    pairs = made.b_length > 0
    np.testing.assert_array_equal(pairs, made.is_true)
    np.testing.assert_array_equal(pairs, made.is_free)
    assert abs(made.label[pairs].mean() - 0.5) < 0.02
    assert not made.label[~pairs].any()
    assert (made.length <= SEQUENCE).all()
    first = np.where(made.label, made.b_start, made.a_start)
    second = np.where(made.label, made.a_start, made.b_start)
    first_length = np.where(made.label, made.b_length, made.a_length)
    whole = pairs & (made.length < SEQUENCE)
    np.testing.assert_array_equal((first + first_length)[whole], second[whole])
    np.testing.assert_array_equal(document_of(first, text)[pairs], document_of(second, text)[pairs])


@pytest.mark.parametrize("kind", ["sentence_order", "full_sentences"])
def test_all_text_is_used_once_without_random_pairs(text, kind):
    starts, _ = text
    made = make_pairs(text[1], text[0], 10_000, 0.0, STREAM, kind)
    used = np.zeros(starts[-1], int)
    for start, length in ((made.a_start, made.a_length), (made.b_start, made.b_length)):
        for s, n in zip(start, length, strict=True):
            used[s : s + n] += 1
    assert (used == 1).all()


def test_full_sentences_are_whole_and_as_many_as_fit(text):
    starts, pieces = text
    made = make_pairs(pieces, starts, SEQUENCE, 0.0, STREAM, "full_sentences")
    assert (made.b_length == 0).all()
    assert not (made.is_true | made.is_free | made.label).any()
    assert (made.length <= SEQUENCE).all()
    end = made.a_start + made.a_length
    assert np.isin(made.a_start, starts).all()
    assert np.isin(end, starts).all()
    # The next sentence of the document would not have fitted.
    following = np.searchsorted(starts, end, side="right")
    same = (following < len(starts)) & (
        document_of(made.a_start, text) == document_of(np.minimum(end, starts[-1] - 1), text)
    )
    longer = made.a_length + starts[np.minimum(following, len(starts) - 1)] - end
    assert (longer[same] > SEQUENCE - 2).all()


def test_a_sentence_longer_than_a_row_goes_on_in_the_next_example():
    starts = np.array([0, 100, 110])
    made = make_pairs(
        Pieces(np.array([0]), np.array([2]), np.array([0])), starts, SEQUENCE, 0.0, STREAM, "full_sentences"
    )
    assert made.a_start.tolist() == [0, SEQUENCE - 2]
    assert made.a_length.tolist() == [SEQUENCE - 2, 110 - (SEQUENCE - 2)]


@pytest.mark.parametrize("short", [0.0, 0.5])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("sentence", [5, 31, 65, 100, 512, 30_000])
def test_an_epoch_uses_the_text_of_sentences_of_any_length(sentence, kind, short):
    """Three sentences a document. Only pairs lose tokens: at most as many as the last sentence is over the target."""
    count = max(6, 60_000 // sentence)
    starts, first = np.arange(count + 1) * sentence, np.arange(0, count, 3)
    pieces = Pieces(first, np.minimum(first + 3, count), np.arange(len(first)))
    made = make_pairs(pieces, starts, SEQUENCE, short, STREAM, kind)
    share = made.distinct_tokens() / starts[-1]
    longest = SEQUENCE - KINDS[kind].special_tokens
    if sentence > longest or kind == "full_sentences":
        assert share > 0.96
        assert kind != "full_sentences" or made.a_length.sum() == starts[-1]
    else:
        assert share > longest / (longest + sentence)
    begin = np.append(made.a_start, made.b_start)[np.append(made.a_length, made.b_length) > 0]
    assert begin.min() == 0
    end = np.append(made.a_start + made.a_length, made.b_start + made.b_length).max()
    assert end > starts[-1] - max(2, longest // 8)
    # Segments stay in their documents.
    for start, length in ((made.a_start, made.a_length), (made.b_start, made.b_length)):
        used = length > 0
        last = (start + length - 1)[used]
        np.testing.assert_array_equal(start[used] // (3 * sentence), last // (3 * sentence))


def test_tokens_in_several_segments_count_once():
    columns = {name: np.zeros(3, np.int64) for name in Examples.__dataclass_fields__}
    columns |= {"a_start": np.array([0, 3, 20]), "a_length": np.array([10, 2, 5])}
    columns |= {"b_start": np.array([8, 0, 24]), "b_length": np.array([4, 0, 1])}
    assert Examples(**columns).distinct_tokens() == 12 + 5


def test_candidates_are_neighbours_in_two_sequences(text):
    pairs = make_pairs(text[1], text[0], SEQUENCE, 0.1, STREAM, "candidates")
    assert not pairs.label.any()
    made, rows = split_pairs(pairs)
    assert (made.b_length == 0).all()
    assert len(set(made.key.tolist())) == len(made)
    complete = rows[:, 1] >= 0
    assert sorted(rows[rows >= 0].tolist()) == list(range(len(made)))
    first, second = made.take(rows[:, 0]), made.take(rows[complete, 1])
    np.testing.assert_array_equal(complete, first.is_true)
    assert (first.length[complete] + second.length <= SEQUENCE).all()
    np.testing.assert_array_equal(first.document[complete], second.document)
    np.testing.assert_array_equal(document_of(second.a_start, text), second.document)
    whole = first.length[complete] + second.length < SEQUENCE
    np.testing.assert_array_equal((first.a_start + first.a_length)[complete][whole], second.a_start[whole])
