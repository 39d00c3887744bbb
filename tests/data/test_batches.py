import dataclasses

import numpy as np
import pytest

from bert_jax import batch as schema
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.data.mixture import WINDOW
from bert_jax.data.statistics import count, describe
from bert_jax.errors import BertJaxError
from bert_jax.tasks.pretraining import make_objectives
from tests.conftest import make_documents

CONFIG = DataConfig(sequence_length=64, max_examples=4, short_probability=0.5)


def make(corpus, seed=0, batch_size=8, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return Batches(corpus.train, corpus.sources, corpus.tokenizer, config, seed, batch_size)


@pytest.fixture(scope="module")
def batches(corpus):
    return make(corpus)


def equal(left, right):
    return left.keys() == right.keys() and all((left[name] == right[name]).all() for name in left)


def joined(parts):
    """Batches of consecutive rows as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def columns(corpus, examples="bert"):
    """Those that a batch for these examples must have."""
    wanted = dict(schema.CORE)
    for objective in make_objectives(dataclasses.replace(CONFIG, examples=examples), corpus=corpus):
        wanted |= objective.columns
    return wanted


def check(batch, corpus, examples="bert"):
    schema.check(batch, columns(corpus, examples), {"V": corpus.tokenizer.vocab_size, "T": 2})


def examples_of(batch):
    """Each example of a batch as plain values: key -> (tokens, segments, positions, predictions, label, weight)."""
    found = {}
    for row in range(len(batch["token_ids"])):
        sequence = batch["example_ids"][row]
        for slot in range(sequence.max()):
            inside = np.flatnonzero(sequence == slot + 1)
            used = (batch["masked_weights"][row] > 0) & np.isin(batch["masked_positions"][row], inside)
            found[int(batch["example_keys"][row, slot])] = (
                batch["token_ids"][row, inside].tolist(),
                batch["token_type_ids"][row, inside].tolist(),
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
            assert batch["cls_positions"][row, slot] == inside[0]
            assert (np.diff(inside) == 1).all()
    return found


def test_a_batch_is_a_function_of_its_step(corpus, batches):
    fresh = make(corpus)
    for step in (7, 0, 500, 7):
        assert equal(fresh.batch(step), batches.batch(step))
    assert not equal(batches.batch(0), make(corpus, seed=1).batch(0))


def test_parts_of_a_batch_are_its_rows(batches):
    for step in (0, 3, batches.rows[0].rows_per_epoch // 8):
        whole = batches.batch(step)
        for parts in (2, 4, 8):
            size = 8 // parts
            assert equal(joined([batches.batch(step, i * size, (i + 1) * size) for i in range(parts)]), whole)


def test_batches_of_any_size_follow_the_same_rows(corpus, batches):
    large = make(corpus, batch_size=16).batch(2)
    assert equal(joined([batches.batch(4), batches.batch(5)]), large)


def test_batches_keep_the_schema(corpus, batches):
    for step in range(10):
        check(batches.batch(step), corpus)
    broken = batches.batch(0)
    broken["masked_targets"][0, 0] = corpus.tokenizer.vocab_size
    with pytest.raises(BertJaxError, match=r"masked_targets .*outside 0\.\.299"):
        check(broken, corpus)
    with pytest.raises(BertJaxError, match=r"lacks .*token_ids"):
        check({}, corpus)


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
    plans = [packed.rows[0].plan(0, 0), single.rows[0].plan(0, 0)]
    np.testing.assert_array_equal(plans[0].examples.key, plans[1].examples.key)
    left, right = ({}, {})
    for found, source in ((left, packed), (right, single)):
        for step in range(source.rows[0].rows_per_epoch // 8):
            found |= examples_of(source.batch(step))
    shared = left.keys() & right.keys()
    assert len(shared) > 0.9 * min(len(left), len(right))
    assert all(left[key] == right[key] for key in shared)


def test_packing_fills_rows(corpus):
    fill = {}
    for slots in (1, 4):
        source = make(corpus, sequence_length=128, max_examples=slots, short_probability=1.0)
        fill[slots] = np.mean([(source.batch(step)["example_ids"] > 0).mean() for step in range(20)])
    assert fill[4] > 0.95 > 0.6 > fill[1]


def test_an_epoch_repeats_no_example_and_the_next_one_draws_anew(batches):
    steps = batches.rows[0].rows_per_epoch // 8
    keys = [
        np.concatenate([b["example_keys"][b["nsp_weights"] > 0] for b in map(batches.batch, span)])
        for span in (range(steps), range(steps + 1, 2 * steps))
    ]
    assert len(np.unique(keys[0])) == len(keys[0])
    assert not set(keys[0].tolist()) & set(keys[1].tolist())


def test_a_block_that_gives_too_few_rows_is_gone_through_again(corpus):
    source = make(corpus).rows[0]
    promised = source.block_rows.copy()
    source.block_rows = promised * 3
    plan = source._plan(0, 0)
    assert len(plan.rows) == 3 * promised[0]
    assert len(np.unique(plan.examples.key)) == len(plan.examples)


def test_predictions_are_the_stated_share(batches):
    weights = np.mean([batches.batch(s)["masked_weights"].sum() for s in range(20)])
    tokens = np.mean([(batches.batch(s)["example_ids"] > 0).sum() for s in range(20)])
    assert abs(weights / tokens - 0.15) < 0.01


def test_balanced_pairs_count_drawn_labels_only(corpus):
    everything, balanced = make(corpus, examples="bert"), make(corpus, examples="balanced")
    forced = 0
    for step in range(20):
        left, right = everything.batch(step), balanced.batch(step)
        np.testing.assert_array_equal(left["nsp_labels"], right["nsp_labels"])
        dropped = left["nsp_weights"] > right["nsp_weights"]
        forced += dropped.sum()
        assert left["nsp_labels"][dropped].all()
    assert forced > 0


def test_problems_are_all_named():
    bad = DataConfig(sequence_length=4, examples="x", mask_rate=2.0, short_probability=-1.0, max_examples=0, prefetch=0)
    assert len(bad.problems()) == 6
    worse = DataConfig(masking="all", mask_share=0.9, random_share=0.3, source_exponent=2.0, source_weights="a")
    assert len(worse.problems()) == 4
    assert not DataConfig().problems()


def test_derived_sizes():
    assert DataConfig(sequence_length=128).row_predictions == 20
    assert DataConfig(sequence_length=512).row_predictions == 80
    assert DataConfig(sequence_length=512).row_examples == 16
    assert DataConfig(max_predictions=76, max_examples=3).row_predictions == 76


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A corpus of two sources, one five times as large as the other."""
    folder = tmp_path_factory.mktemp("mixed")
    for name, size in (("large", 100), ("small", 20)):
        (folder / f"{name}.txt").write_text("\n\n".join(make_documents(size, seed=size)))
    return prepare_corpus(
        [f"{name}=text:{folder}/{name}.txt" for name in ("large", "small")],
        folder / "corpus",
        vocab_size=300,
        num_workers=1,
        validation_fraction=0.1,
        progress=lambda line: None,
    )


def sources_of(batches, steps):
    return np.concatenate([batches.examples(step)[0].source for step in range(steps)])


def test_rows_come_from_sources_by_weight(mixed):
    natural, equal_shares = make(mixed), make(mixed, source_exponent=0.0)
    assert mixed.sources == ("large", "small")
    assert natural.shares[0] > 0.75
    np.testing.assert_allclose(equal_shares.shares, 0.5)
    batch = equal_shares.batch(0)
    rows = [batch["source_ids"][row, : batch["example_ids"][row].max()] for row in range(8)]
    assert all(len(set(row.tolist())) == 1 for row in rows)
    assert abs(sources_of(equal_shares, 100).mean() - 0.5) < 0.1
    assert sources_of(make(mixed, source_weights="small=1"), 20).all()


def test_examples_are_taken_from_the_source_they_name(mixed):
    split = mixed.train
    for examples in (make(mixed).examples(step)[0] for step in range(20)):
        for start in (examples.a_start, examples.b_start):
            sentence = np.searchsorted(split.sentence_starts, start, side="right") - 1
            document = np.searchsorted(split.document_starts, sentence, side="right") - 1
            np.testing.assert_array_equal(split.document_sources[document], examples.source)


def test_epochs_are_counted_by_source(mixed):
    batches = make(mixed, source_exponent=0.0)
    per_epoch = [rows.rows_per_epoch for rows in batches.rows]
    steps = 2 * WINDOW // 8  # whole windows have exactly their shares
    epochs = batches.epochs(steps)
    np.testing.assert_allclose([epochs["large"], epochs["small"]], [WINDOW / n for n in per_epoch], rtol=1e-3)
    natural = make(mixed).epochs(steps)
    assert natural["large"] == pytest.approx(natural["small"], rel=1e-2)


def test_a_mixed_batch_is_a_function_of_its_step(mixed):
    one, two = make(mixed, source_exponent=0.3), make(mixed, source_exponent=0.3)
    for step in (600, 3, 77):
        assert equal(one.batch(step), two.batch(step))
        assert equal(joined([two.batch(step, i, i + 2) for i in range(0, 8, 2)]), one.batch(step))


@pytest.mark.parametrize("examples", ["bert", "sentence_order", "full_sentences", "candidates"])
@pytest.mark.parametrize("kind", ["token", "whole_word", "span"])
def test_every_kind_of_batch_keeps_the_schema(corpus, examples, kind):
    source = make(corpus, examples=examples, masking=kind, mask_rate=0.3)
    for step in range(3):
        batch = source.batch(step)
        check(batch, corpus, examples)
        assert batch.keys() == columns(corpus, examples).keys()  # nothing that no objective reads
        kept = batch["token_ids"].copy()
        row = np.arange(len(kept))[:, None]
        used = batch["masked_weights"] > 0
        np.put_along_axis(
            kept,
            batch["masked_positions"],
            np.where(used, batch["masked_targets"], np.take_along_axis(kept, batch["masked_positions"], 1)),
            1,
        )
        assert not (kept == corpus.tokenizer.mask_id).any()
        assert not np.isin(batch["masked_targets"][used], corpus.tokenizer.frame_ids).any()
        assert len(np.unique((row * 10_000 + batch["masked_positions"])[used])) == used.sum()
    if examples in ("full_sentences", "candidates"):
        assert not batch["token_type_ids"].any()


def test_statistics_count_what_is_there(corpus):
    source = make(corpus)
    facts = count(source, steps=3)
    made = [source.batch(step) for step in range(3)]
    assert facts.tokens == sum((batch["example_ids"] > 0).sum() for batch in made)
    assert facts.examples == sum(batch["example_ids"].max(axis=1).sum() for batch in made)
    assert facts.predictions == sum(batch["masked_weights"].sum() for batch in made)
    assert facts.cut == 0
    assert facts.predictions == facts.wanted
    tight = count(make(corpus, max_predictions=2), steps=3)
    assert tight.cut > 0
    assert tight.predictions == tight.wanted - tight.cut
    assert "% of the pairs random" in describe(source)
    assert "cut by max_predictions" in describe(make(corpus, max_predictions=2))


def test_a_row_never_holds_more_predictions_than_it_has_room_for(corpus):
    """Short examples round their numbers up: with K tight it is the packing that gives way, and nothing is dropped."""
    source = make(corpus, max_predictions=10, short_probability=1.0)
    assert count(source).cut == 0
    for step in range(20):
        batch, (examples, row, _) = source.batch(step), source.examples(step)
        wanted = np.rint(examples.length * 0.15).clip(1).astype(int)
        np.testing.assert_array_equal(batch["masked_weights"].sum(1), np.bincount(row, wanted, minlength=8))


def test_candidates_stand_in_rows_of_two_and_groups_of_one_source(mixed):
    source = make(mixed, examples="candidates", nsp_group_size=4, source_exponent=0.0)
    for step in range(10):
        batch = source.batch(step)
        assert batch["pair_weights"].shape[1] == 2
        assert (batch["source_ids"][:, 0].reshape(2, 4).std(axis=1) == 0).all()
        complete = batch["pair_weights"][:, 0] > 0
        np.testing.assert_array_equal(complete, batch["example_ids"].max(1) == 2)
        np.testing.assert_array_equal(batch["document_ids"][complete, 0], batch["document_ids"][complete, 1])
    assert equal(joined([source.batch(3, i, i + 4) for i in (0, 4)]), source.batch(3))


def test_two_sequences_have_room_for_their_predictions(corpus):
    for rate in (0.1, 0.15, 0.37, 0.6):
        source = make(corpus, examples="candidates", mask_rate=rate, short_probability=0.1)
        assert count(source, steps=10).cut == 0
        for step in range(10):
            check(source.batch(step), corpus, "candidates")
