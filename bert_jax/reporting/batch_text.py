"""A training batch as readable text: segments, masks, labels, packing and sources."""

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data.phases import PhasedBatches
from bert_jax.data.statistics import describe
from bert_jax.errors import counted
from bert_jax.tokenization import Tokenizer


def batch_text(batches: PhasedBatches, step: int, rows: range | None = None) -> str:
    """Describes the batch of one step.

    A predicted token is written as {token that the model saw: token to predict}.

    Args:
      batches: the batches of the run.
      step: the step, counted from 1 as in the logs.
      rows: the rows to show; None shows all.
    """
    of_phase, local = batches.at(step - 1)
    batch = of_phase.batch(local)
    examples, row_of, _ = of_phase.examples(local)
    split = of_phase.split
    sentence = np.searchsorted(split.sentence_starts, examples.a_start, side="right") - 1
    document = np.searchsorted(split.document_starts, sentence, side="right") - 1
    config = of_phase.config
    lines = [
        f"step {step:,}: {of_phase.batch_size} rows × {config.sequence_length} tokens",
        f"batches of this phase: {describe(of_phase)}",
        "passes over each source before this step: "
        + ", ".join(f"{name} {epochs:.2f}" for name, epochs in batches.epochs(step - 1).items()),
    ]
    kind = config.kind
    for row in rows if rows is not None else range(of_phase.batch_size):
        mine = np.flatnonzero(row_of == row)
        real, predicted = (batch["example_ids"][row] > 0).sum(), int(batch["masked_weights"][row].sum())
        lines.append(
            f"\nrow {row}: {counted(len(mine), 'example')}, {real} of {config.sequence_length} tokens,"
            f" {predicted} of {config.row_predictions} predictions"
        )
        for slot, i in enumerate(mine):
            label = kind.label_words[int(examples.label[i])] if examples.b_length[i] else "one segment"
            if kind.is_split:
                label = kind.label_words[slot]
            if examples.b_length[i] and not batch["nsp_weights"][row, slot]:
                label += " (not counted)"
            lines.append(f"  {slot + 1}. {of_phase.sources[examples.source[i]]}, document {document[i]:,}: {label}")
            lines += [f"     {text}" for text in _segments(batch, row, slot, of_phase.tokenizer)]
    return "\n".join(lines)


def _segments(batch: Batch, row: int, slot: int, tokenizer: Tokenizer) -> list[str]:
    """Returns the lines `A …` and, if there is a second segment, `B …`."""
    shown = batch["token_ids"][row].copy()
    used = batch["masked_weights"][row] > 0
    targets = dict(
        zip(batch["masked_positions"][row, used].tolist(), batch["masked_targets"][row, used].tolist(), strict=True)
    )
    texts = []
    for segment, name in enumerate("AB"):
        places = np.flatnonzero((batch["example_ids"][row] == slot + 1) & (batch["token_type_ids"][row] == segment))
        # Drop the special tokens of [CLS] A [SEP] B [SEP].
        places = places[1 - segment : -1]
        if len(places):
            texts.append(f"{name}  {_with_masks(places.tolist(), shown, targets, tokenizer)}")
    return texts


def _with_masks(places: list[int], shown: np.ndarray, targets: dict[int, int], tokenizer: Tokenizer) -> str:
    parts, run = [], []
    for place in places:
        if place in targets:
            parts += [tokenizer.decode(run)] if run else []
            run = []
            seen, target = (tokenizer.name(i) for i in (int(shown[place]), targets[place]))
            parts.append(f"{{{seen}: {target}}}")
        else:
            run.append(int(shown[place]))
    parts += [tokenizer.decode(run)] if run else []
    return " ".join(parts)
