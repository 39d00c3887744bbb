import numpy as np
import pytest

from bert_jax.objectives.masked_words import MaskedWords, unigram_probabilities
from tests.objectives import small

V, K = small.CONFIG.vocab_size, 5
SOURCES = ("en", "de", "fr")
COUNTS = np.random.default_rng(9).integers(0, 50, V)


def rows(seed=0):
    """Up to K predictions in each row, at least one of each example, in order; garbage where a place is unused."""
    rng = np.random.default_rng(seed)
    batch = small.core(seed) | {
        "masked_positions": np.zeros((len(small.LENGTHS), K), np.int32),
        "masked_targets": rng.integers(1, V, (len(small.LENGTHS), K)).astype(np.int32),
        "masked_weights": np.zeros((len(small.LENGTHS), K), np.float32),
        "source_ids": np.tile(np.arange(small.N, dtype=np.int32) % 2, (len(small.LENGTHS), 1)),  # none of the third
    }
    for row, lengths in enumerate(small.LENGTHS):
        chosen = np.cumsum([0, *lengths[:-1]]) + 1  # the second token of each example, and one more of the last
        chosen = [*chosen, chosen[-1] + 1]
        batch["masked_positions"][row, : len(chosen)] = chosen
        batch["masked_weights"][row, : len(chosen)] = 1
    return batch


def by_hand(logits, batch):
    """(loss, whether right, source, target) of each prediction, in plain loops."""
    found = []
    for row, place in np.argwhere(batch["masked_weights"] > 0):
        one = np.asarray(logits[row, place], np.float64)
        target = batch["masked_targets"][row, place]
        loss = np.log(np.exp(one).sum()) - one[target]
        example = batch["example_ids"][row, batch["masked_positions"][row, place]]
        found.append((loss, one.argmax() == target, batch["source_ids"][row, example - 1], target))
    return [np.array(values) for values in zip(*found, strict=True)]


def test_loss_and_accuracy_are_those_of_a_plain_loop_for_each_source_too():
    batch = rows()
    logits = np.random.default_rng(1).normal(size=(*batch["masked_targets"].shape, V)).astype(np.float32)
    sure = np.arange(0, batch["masked_targets"].size, 2)  # every other one is guessed right
    logits.reshape(-1, V)[sure, batch["masked_targets"].ravel()[sure]] = 9
    values, right, source, _ = by_hand(logits, batch)
    assert 0 < right.sum() < len(right)
    outcome = MaskedWords(sources=SOURCES, coefficient=0.5).outcome(logits, batch)
    whole, parts = outcome.losses["mlm_loss"], outcome.metrics
    assert whole.coefficient == 0.5
    np.testing.assert_allclose(whole.sum.total, values.sum(), rtol=1e-5)
    assert (whole.sum.weight, parts["mlm_accuracy"].total) == (len(values), right.sum())
    for i, name in enumerate(SOURCES):
        part = parts[f"mlm_loss/{name}"]
        np.testing.assert_allclose(part.total, values[source == i].sum(), rtol=1e-5)
        assert part.weight == (source == i).sum()
    assert set(source) == {0, 1}
    total = sum(part.total for name, part in parts.items() if "/" in name)
    np.testing.assert_allclose(total, whole.sum.total, rtol=1e-6)


def test_one_source_is_not_told_apart():
    batch = {name: value for name, value in rows().items() if name != "source_ids"}
    objective = MaskedWords(sources=("here",), word_counts=lambda: COUNTS)
    assert "source_ids" not in objective.columns
    found, baselines = small.assert_scores_are_told([batch], objective)
    assert not [name for name in found | baselines if "/" in name]


def test_the_baseline_guesses_by_frequency_and_never_what_is_never_there():
    held_out, never = [rows(0), rows(1)], (0, 7)
    share = COUNTS + 1.0
    share[list(never)] = 0
    share /= share.sum()
    for batch in held_out:
        batch["masked_targets"][batch["masked_targets"] == 7] = 8
    values, sources = [], []
    for batch in held_out:
        _, _, source, target = by_hand(np.zeros((len(small.LENGTHS), K, V)), batch)
        values += [-np.log(share[one]) for one in target]
        sources += list(source)
    values, sources = np.array(values), np.array(sources)
    np.testing.assert_allclose(unigram_probabilities(COUNTS, never), share)
    objective = MaskedWords(sources=SOURCES, word_counts=lambda: COUNTS, never=never)
    found = objective.baselines(small.joined(held_out))
    assert found.keys() == {"unigram_mlm_loss", "unigram_mlm_accuracy", "unigram_mlm_loss/en", "unigram_mlm_loss/de"}
    assert found["unigram_mlm_loss"] == pytest.approx(values.mean())
    targets = np.concatenate([batch["masked_targets"][batch["masked_weights"] > 0] for batch in held_out])
    assert found["unigram_mlm_accuracy"] == (targets == share.argmax()).mean()
    for i, name in enumerate(SOURCES[:2]):
        assert found[f"unigram_mlm_loss/{name}"] == pytest.approx(values[sources == i].mean())
    assert MaskedWords(sources=SOURCES).baselines(small.joined(held_out)) == {}


def test_scores_have_their_numbers():
    held_out = [rows(0), rows(1)]
    held_out[1]["source_ids"][:] = 2
    small.assert_scores_are_told(held_out, MaskedWords(sources=SOURCES, word_counts=lambda: COUNTS))


def test_packing_changes_nothing():
    small.assert_packing_changes_nothing(rows(), MaskedWords(sources=SOURCES))


def test_the_z_loss_is_the_mean_square_of_the_log_of_the_sum_and_no_score():
    batch = rows()
    logits = np.random.default_rng(1).normal(3, 1, (*batch["masked_targets"].shape, V)).astype(np.float32)
    used = batch["masked_weights"] > 0
    expected = (np.log(np.exp(np.asarray(logits[used], np.float64)).sum(-1)) ** 2).mean()
    plain, outcome = (MaskedWords(z_loss=z, coefficient=0.5).outcome(logits, batch) for z in (0.0, 0.1))
    assert list(plain.losses) == ["mlm_loss"]
    term = outcome.losses["mlm_z_loss"]
    assert term.coefficient == pytest.approx(0.05)
    assert float(term.sum.mean) == pytest.approx(expected, rel=1e-5)
    assert float(outcome.losses["mlm_loss"].sum.mean) == float(plain.losses["mlm_loss"].sum.mean)
