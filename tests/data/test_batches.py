import dataclasses

import numpy as np
import pytest

from bert_jax.batch import FIELDS, check
from bert_jax.data.batches import Batches, DataConfig, evaluation_batches
from bert_jax.errors import BertJaxError, CorpusError

CONFIG = DataConfig(sequence_length=64, max_examples=4, short_probability=0.5)


def make(corpus, seed=0, batch_size=8, **changes):
    return Batches(corpus.train, corpus.tokenizer, dataclasses.replace(CONFIG, **changes), seed, batch_size)


@pytest.fixture(scope="module")
def batches(corpus):
    return make(corpus)


def equal(left, right):
    return all((left[name] == right[name]).all() for name in FIELDS)


def examples_of(batch):
    """Each example of a batch as plain values: key -> (tokens, segments, positions, predictions, label, weight)."""
    found = {}
    for row in range(len(batch["token_ids"])):
        sequence = batch["sequence_ids"][row]
        for slot in range(sequence.max()):
            inside = np.flatnonzero(sequence == slot + 1)
            used = (batch["masked_weights"][row] > 0) & np.isin(batch["masked_positions"][row], inside)
            found[int(batch["example_keys"][row, slot])] = (
                batch["token_ids"][row, inside].tolist(),
                batch["segment_ids"][row, inside].tolist(),
                batch["position_ids"][row, inside].tolist(),
                sorted(
                    zip(
                        (batch["masked_positions"][row, used] - inside[0]).tolist(),
                        batch["masked_targets"][row, used].tolist(),
                        strict=True,
                    )
                ),
                int(batch["nsp_labels"][row, slot]),
                float(batch["nsp_weights"][row, slot]),
            )
            assert batch["summary_positions"][row, slot] == inside[0]
            assert (np.diff(inside) == 1).all()
    return found


def test_a_batch_is_a_function_of_its_step(corpus, batches):
    fresh = make(corpus)
    for step in (7, 0, 500, 7):
        assert equal(fresh.batch(step), batches.batch(step))
    assert not equal(batches.batch(0), make(corpus, seed=1).batch(0))


def test_parts_of_a_batch_are_its_rows(batches):
    for step in (0, 3, batches.rows_per_epoch // 8):
        whole = batches.batch(step)
        for parts in (2, 4, 8):
            size = 8 // parts
            rows = [batches.batch(step, i * size, (i + 1) * size) for i in range(parts)]
            for name in FIELDS:
                np.testing.assert_array_equal(np.concatenate([part[name] for part in rows]), whole[name])


def test_batches_of_any_size_follow_the_same_rows(corpus, batches):
    large = make(corpus, batch_size=16).batch(2)
    for name in FIELDS:
        np.testing.assert_array_equal(np.concatenate([batches.batch(4)[name], batches.batch(5)[name]]), large[name])


def test_batches_keep_the_schema(corpus, batches):
    for step in range(10):
        check(batches.batch(step), corpus.tokenizer.vocab_size)
    broken = batches.batch(0)
    broken["masked_targets"][0, 0] = corpus.tokenizer.vocab_size
    with pytest.raises(BertJaxError, match="masked_targets reaches outside"):
        check(broken, corpus.tokenizer.vocab_size)
    with pytest.raises(BertJaxError, match="lacks token_ids"):
        check({}, 10)


def test_examples_read_cls_a_sep_b_sep(corpus, batches):
    t = corpus.tokenizer
    for tokens, segments, positions, predictions, _, _ in examples_of(batches.batch(1)).values():
        assert tokens[0] == t.cls_id
        assert tokens[-1] == t.sep_id
        assert positions == list(range(len(tokens)))
        assert segments == sorted(segments)
        assert tokens[segments.index(1) - 1] == t.sep_id
        restored = list(tokens)
        for position, target in predictions:
            restored[position] = target
        special = [i for i, token in enumerate(restored) if token in t.special_ids]
        assert special == [0, segments.index(1) - 1, len(tokens) - 1]


def test_masks_do_not_depend_on_packing(corpus):
    """The same examples, packed and one a row: tokens, masks and labels are equal, example by example."""
    packed, single = make(corpus), make(corpus, max_examples=1)
    plans = [packed.plan(0, 0), single.plan(0, 0)]
    np.testing.assert_array_equal(plans[0].examples.key, plans[1].examples.key)
    left, right = ({}, {})
    for found, source in ((left, packed), (right, single)):
        for step in range(source.rows_per_epoch // 8):
            found |= examples_of(source.batch(step))
    shared = left.keys() & right.keys()
    assert len(shared) > 0.9 * min(len(left), len(right))
    assert all(left[key] == right[key] for key in shared)


def test_packing_fills_rows(corpus):
    fill = {}
    for slots in (1, 4):
        source = make(corpus, sequence_length=128, max_examples=slots, short_probability=1.0)
        fill[slots] = np.mean([(source.batch(step)["sequence_ids"] > 0).mean() for step in range(20)])
    assert fill[4] > 0.95 > 0.6 > fill[1]


def test_an_epoch_repeats_no_example_and_the_next_one_draws_anew(batches):
    steps = batches.rows_per_epoch // 8
    keys = [
        np.concatenate([b["example_keys"][b["nsp_weights"] > 0] for b in map(batches.batch, span)])
        for span in (range(steps), range(steps + 1, 2 * steps))
    ]
    assert len(np.unique(keys[0])) == len(keys[0])
    assert not set(keys[0].tolist()) & set(keys[1].tolist())


def test_a_block_that_gives_too_few_rows_is_gone_through_again(corpus):
    source = make(corpus)
    promised = source.block_rows.copy()
    source.block_rows = promised * 3
    plan = source._plan(0, 0)
    assert len(plan.rows) == 3 * promised[0]
    assert len(np.unique(plan.examples.key)) == len(plan.examples)


def test_predictions_are_the_stated_share(batches):
    weights = np.mean([batches.batch(s)["masked_weights"].sum() for s in range(20)])
    tokens = np.mean([(batches.batch(s)["sequence_ids"] > 0).sum() for s in range(20)])
    assert abs(weights / tokens - 0.15) < 0.01


def test_balanced_pairs_count_drawn_labels_only(corpus):
    everything, balanced = make(corpus, pairs="bert"), make(corpus, pairs="balanced")
    forced = 0
    for step in range(20):
        left, right = everything.batch(step), balanced.batch(step)
        np.testing.assert_array_equal(left["nsp_labels"], right["nsp_labels"])
        dropped = left["nsp_weights"] > right["nsp_weights"]
        forced += dropped.sum()
        assert left["nsp_labels"][dropped].all()
    assert forced > 0


def test_evaluation_is_fixed_large_enough_and_balanced(corpus):
    sets = [evaluation_batches(corpus, CONFIG, 0, 8, 3000) for _ in range(2)]
    assert all(equal(left, right) for left, right in zip(*sets, strict=True))
    targets = sum(batch["masked_weights"].sum() for batch in sets[0])
    assert targets >= 3000
    labels = np.concatenate([batch["nsp_labels"][batch["nsp_weights"] > 0] for batch in sets[0]])
    assert abs(labels.mean() - 0.5) <= 0.01
    assert len(labels) > 50


def test_held_out_text_without_pairs_is_refused(corpus):
    with pytest.raises(CorpusError, match="hold out at least two documents"):
        evaluation_batches(corpus, dataclasses.replace(CONFIG, sequence_length=8), 0, 8, 100)


def test_problems_are_all_named():
    bad = DataConfig(sequence_length=4, pairs="x", mask_rate=2.0, short_probability=-1.0, max_examples=0, prefetch=0)
    assert len(bad.problems()) == 6
    assert not DataConfig().problems()


def test_derived_sizes():
    assert DataConfig(sequence_length=128).row_predictions == 20
    assert DataConfig(sequence_length=512).row_predictions == 80
    assert DataConfig(sequence_length=512).row_examples == 16
    assert DataConfig(max_predictions=76, max_examples=3).row_predictions == 76
