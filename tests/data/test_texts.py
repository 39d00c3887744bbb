import numpy as np
import pytest

from bert_jax.data.texts import USUAL_ROW, EncodedTexts, fair_lengths, packed_batches


def texts_of(lengths, longest=512):
    return EncodedTexts.of([(list(range(10, 10 + n)), ()) for n in lengths], longest)


class Tokenizer:
    pad_id, cls_id, sep_id = 0, 1, 2


@pytest.mark.parametrize(
    "lengths", [[3], [0], [], [14], [15], [126] * 5, [1, 2, 3] * 40, [500, 3, 127, 40, 0, 255] * 3, [7] * 3000]
)
def test_every_text_is_in_one_place_and_whole(lengths):
    texts, seen = texts_of(lengths), []
    for packed in packed_batches(texts, Tokenizer(), 1024):
        batch = packed.batch
        rows, width = batch["token_ids"].shape
        assert rows * width <= 1024 or rows == 1
        assert rows & (rows - 1) == width & (width - 1) == 0
        seen += packed.index.tolist()
        for i, row, slot, first in zip(packed.index, packed.row, packed.slot, packed.first, strict=True):
            inside = batch["example_ids"][row] == slot + 1
            assert np.flatnonzero(inside)[0] == first
            assert batch["token_ids"][row, inside].tolist() == [1, *range(10, 10 + lengths[i]), 2]
    assert sorted(seen) == list(range(len(lengths)))


def test_shapes_are_few_and_full():
    lengths = np.random.default_rng(0).integers(1, 300, 3000)
    batches = [packed.batch["token_ids"] for packed in packed_batches(texts_of(lengths), Tokenizer(), 4096)]
    shapes = {batch.shape for batch in batches}
    assert {width for _, width in shapes} == {64, 128, 256, 512}
    assert len(shapes) <= 8  # full batches, and the last of each width
    real = sum((batch > 0).sum() for batch in batches)
    assert real / sum(batch.size for batch in batches) > 0.85


@pytest.mark.parametrize(("length", "width"), [(1, 16), (14, 16), (15, 32), (100, 128), (127, 256)])
def test_a_single_text_has_the_shortest_row(length, width):
    (packed,) = packed_batches(texts_of([length]), Tokenizer(), 4096)
    assert packed.batch["token_ids"].shape == (1, width)
    assert width <= USUAL_ROW or length + 2 > USUAL_ROW


def test_the_longer_text_of_a_pair_is_cut_first():
    texts = EncodedTexts.of([([5] * 20, [6] * 4), ([5] * 4, [6] * 4), ([5] * 30, ())], 16)
    assert texts.segments.a_length.tolist() == [9, 4, 14]
    assert texts.segments.b_length.tolist() == [4, 4, 0]
    assert texts.num_cut == 2


def test_robertas_pair_has_two_separators_and_one_type():
    pairs = [([5] * 20, [6] * 4), ([5] * 4, [6] * 4), ([5] * 30, ()), ([5], [6])]
    texts = EncodedTexts.of(pairs, 16, between=[2, 2])
    (packed,) = packed_batches(texts, Tokenizer(), 1024)
    ids = packed.batch["token_ids"]
    found = {
        i: ids[row, packed.batch["example_ids"][row] == slot + 1].tolist()
        for i, row, slot in zip(packed.index, packed.row, packed.slot, strict=True)
    }
    assert found == {
        0: [1, *[5] * 8, 2, 2, *[6] * 4, 2],
        1: [1, *[5] * 4, 2, 2, *[6] * 4, 2],
        2: [1, *[5] * 14, 2],
        3: [1, 5, 2, 2, 6, 2],
    }
    assert texts.num_cut == 2
    assert not packed.batch["token_type_ids"].any()


def test_the_longest_texts_lose_first():
    assert sorted(fair_lengths(np.array([9, 9, 2]), 10).tolist()) == [2, 4, 4]
    assert fair_lengths(np.array([2, 2]), 9).tolist() == [2, 2]
    for seed in range(200):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, 40, rng.integers(1, 8))
        room = int(rng.integers(len(lengths), lengths.sum() + 10))
        kept = fair_lengths(lengths, room)
        assert (kept <= lengths).all()
        assert kept.sum() == min(room, lengths.sum())
        assert kept[kept < lengths].min(initial=100) >= kept.max() - 1  # those that are cut are equal, but for a token
