"""Speed of training a classifier, compared with Hugging Face `transformers` on PyTorch, on the same labelled texts.

python -m experiments.benchmarks.finetune --train=train.tsv --tokenizer=vocab.txt --size=mini

Ours is the step of `experiments.finetune` with its recipe: packed rows, which are laid out within the measured time.
The peer is `BertForSequenceClassification` with the same sizes, tokens, dropout, AdamW (fused) and clipping, and as
many texts a step as ours has in the mean, padded to the longest of the batch. Its batches are drawn at random, or
`grouped` by length as `Trainer` does; of a group, those that are used lie evenly between the longest and the shortest.
Its dtypes are float32, `autocast` to bfloat16, and `bfloat16`, which keeps even the parameters in it.

Without --train, texts of made-up words have the lengths of sentences. Without --tokenizer, a vocabulary is trained on
the texts. Tokens are made before the measurement. Ours and the peer take turns, each in its own process. For each dtype
of ours and each mode of the peer, the script prints a JSON line with the medians over the turns, and the median and
range of the ratios of neighbouring turns, in texts per second; above 1, ours is faster. `processor_ratio` is that of
processor seconds, which other programs on the machine change less. The peer needs `pip install transformers torch`.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from bert_jax.batch import Batch, real_tokens
from bert_jax.errors import ConfigError
from bert_jax.model.config import ModelConfig
from bert_jax.tasks.classification import Classification, ClassificationConfig
from bert_jax.tokenization.training import count_words, train_wordpiece
from bert_jax.training.placed import PlacedTask
from experiments import sentences
from experiments.benchmarks.turns import FailedError, Turns
from experiments.configs import finetune_classification
from experiments.configs.sizes import SIZES

MODES = tuple(f"{dtype} {order}" for dtype in ("float32", "autocast", "bfloat16") for order in ("random", "grouped"))
_TRAIN = flags.DEFINE_string("train", None, "Labelled texts, as in experiments.finetune.")
_TOKENIZER = flags.DEFINE_string("tokenizer", None, "A vocabulary, as in --config.data.tokenizer.")
_SIZE = flags.DEFINE_enum("size", "mini", list(SIZES), "The size of the model.")
_ROWS = flags.DEFINE_integer("rows", 8, "Rows in a step of ours.", lower_bound=1)
_LENGTH = flags.DEFINE_integer("sequence_length", 128, "Tokens in a row of ours, and the longest text.", lower_bound=8)
_MODES = flags.DEFINE_list("modes", ["autocast grouped", "bfloat16 grouped"], f"Modes of the peer: {', '.join(MODES)}.")
_OURS = flags.DEFINE_list("ours", ["float32", "bfloat16"], "Dtypes of ours.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Number of turns of each.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 8, "Number of steps per turn.", lower_bound=1)

TEXTS, WORDS = 4000, 3000  # made up
MEDIAN, SPREAD = 20, 0.5  # words in a made-up text: a log-normal distribution
VOCAB_SIZE = 30_522


def main(_: list[str]) -> None:
    if wrong := [mode for mode in _MODES.value if mode not in MODES]:
        raise ConfigError(f"--modes: {wrong[0]!r} is not one of {', '.join(MODES)}.")
    with tempfile.TemporaryDirectory() as folder:
        config = _config(folder)
        ours = {dtype: Turns(_ours, config, dtype, _STEPS.value) for dtype in _OURS.value}
        rows = [row for mode in _MODES.value for row in _against(mode, ours, config)]
        for turns in ours.values():
            turns.end()
    print(_table(rows))


def _config(folder: str) -> ClassificationConfig:
    """The recipe, with the size, texts and vocabulary of the flags; what is missing is made in `folder`."""
    config = finetune_classification.get_config()
    layers, width, heads = SIZES[_SIZE.value]
    config.model = ModelConfig(num_layers=layers, hidden_size=width, num_heads=heads)
    config.data.train = config.data.validation = _TRAIN.value or _made_up(f"{folder}/texts.tsv")
    config.data.sequence_length, config.train.batch_size = _LENGTH.value, _ROWS.value
    config.data.tokenizer = _TOKENIZER.value or f"{folder}/vocab.txt"
    if not _TOKENIZER.value:
        texts = [row.text for row in Classification().read(config, config.data.train, [])]
        tokenizer = train_wordpiece(count_words(texts, lowercase=True), VOCAB_SIZE, lowercase=True)
        with open(config.data.tokenizer, "wb") as file:
            file.write(tokenizer.files()["vocab.txt"])
    return config


def _made_up(path: str) -> str:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9))) for _ in range(WORDS)]
    with open(path, "w") as file:
        print("text\tlabel", file=file)
        for size in np.ceil(rng.lognormal(np.log(MEDIAN), SPREAD, TEXTS)).astype(int):
            print(" ".join(rng.choice(words, size)), rng.integers(2), sep="\t", file=file)
    return path


def _against(mode: str, ours: dict[str, Turns], config: ClassificationConfig) -> list[dict[str, Any]]:
    """Measures each dtype of ours against a mode of the peer, in turn."""
    peer = Turns(_peer, config, mode, _STEPS.value)
    pairs: dict[str, list[tuple[dict, dict]]] = {dtype: [] for dtype in ours}
    try:
        for _ in range(_REPEATS.value):
            for dtype, turns in ours.items():
                pairs[dtype].append((turns.take(), peer.take()))
    except FailedError as failure:
        print(json.dumps({"suite": "finetune", "peer_mode": mode, "failed": str(failure)}), flush=True)
        return []
    finally:
        peer.end()
    return [_row(dtype, mode, pair) for dtype, pair in pairs.items()]


def _row(dtype: str, mode: str, pairs: list[tuple[dict, dict]]) -> dict[str, Any]:
    """Prints and returns a row, from neighbouring turns of ours and the peer."""

    def speed(turn: dict, per: str = "seconds", of: str = "texts") -> float:
        return turn[of] / turn[per]

    def median(side: int, **which: str) -> float:
        return float(f"{statistics.median(speed(pair[side], **which) for pair in pairs):.4g}")

    ratios = [speed(mine) / speed(theirs) for mine, theirs in pairs]
    busy = statistics.median(speed(mine, "processor") / speed(theirs, "processor") for mine, theirs in pairs)
    mine, theirs = pairs[0]
    row = {
        "suite": "finetune",
        "model": _SIZE.value,
        "ours_mode": dtype,
        "peer_mode": mode,
        "metric": "throughput",
        "unit": "texts/s",
        "ours": median(0),
        "peer": median(1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "processor_ratio": round(busy, 3),
        "ours_real_tokens_per_second": median(0, of="tokens"),
        "peer_real_tokens_per_second": median(1, of="tokens"),
        "ours_texts_per_step": round(mine["texts"] / _STEPS.value, 1),
        "peer_texts_per_step": round(theirs["texts"] / _STEPS.value, 1),
        "ours_padding": round(1 - mine["tokens"] / mine["positions"], 3),
        "peer_padding": round(1 - theirs["tokens"] / theirs["positions"], 3),
        "repeats": len(pairs),
        "threads": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(row), flush=True)
    return row


def _table(rows: list[dict[str, Any]]) -> str:
    """Formats the rows as Markdown."""
    lines = ["| ours | peer | ours, texts/s | peer, texts/s | ratio | processor seconds |", "|---" * 6 + "|"]
    for row in rows:
        spread = f"{row['ratio']:.2f} ({row['ratio_min']:.2f}–{row['ratio_max']:.2f})"
        values = (row["ours_mode"], row["peer_mode"], f"{row['ours']:g}", f"{row['peer']:g}", spread)
        lines.append(f"| {' | '.join(values)} | {row['processor_ratio']:.2f} |")
    return "\n".join(lines)


def _prepared(config: ClassificationConfig) -> PlacedTask:
    from bert_jax.training.run import prepare

    return prepare(Classification(), config)


def _counts(batches: list[Batch]) -> dict[str, int]:
    return {
        "texts": sum(int((batch["label_weights"] > 0).sum()) for batch in batches),
        "tokens": sum(map(real_tokens, batches)),
        "positions": sum(batch["token_ids"].size for batch in batches),
    }


def _ours(config: ClassificationConfig, dtype: str, steps: int) -> Callable[[], dict]:
    import jax

    from bert_jax import sharding

    config.model.dtype = dtype
    placed = _prepared(config)
    counts = _counts([placed.task.stream.batch(step) for step in range(steps)])
    jax.set_mesh(placed.mesh)
    with sharding.rules():
        program = placed.program(placed.config.train.length)
        state = program.make_state({})

        def turn() -> dict:
            nonlocal state
            metrics = {}
            for step in range(steps):
                state, metrics = program.train_step(state, placed.work(step).batch)
            jax.block_until_ready((state, metrics))
            return counts

        turn()
    return turn


def _peer(config: ClassificationConfig, mode: str, steps: int) -> Callable[[], dict]:
    import torch
    import transformers

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    dtype, order = mode.split()
    task = _prepared(config).task
    texts, labels = _unpacked(task.held_out)  # every text once
    size = round(_counts([task.stream.batch(step) for step in range(steps)])["texts"] / steps)
    chosen = _batches([len(text) for text in texts], size, steps, order)
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=config.model.vocab_size,
            hidden_size=config.model.hidden_size,
            num_hidden_layers=config.model.num_layers,
            num_attention_heads=config.model.num_heads,
            intermediate_size=config.model.feed_forward_size,
            max_position_embeddings=config.model.max_positions,
            hidden_dropout_prob=config.model.dropout,
            attention_probs_dropout_prob=config.model.attention_dropout,
            num_labels=task.learner.objectives[0].sizes["C"],
            attn_implementation="sdpa",
        )
    ).train()
    if dtype == "bfloat16":
        model = model.to(torch.bfloat16)
    settings = config.optimizer
    free = {name for name, _ in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name}
    groups = [
        {"params": [p for name, p in model.named_parameters() if (name in free) == without], "weight_decay": decay}
        for without, decay in ((False, settings.weight_decay), (True, 0.0))
    ]
    optimizer = torch.optim.AdamW(
        groups, settings.learning_rate, (settings.b1, settings.b2), settings.epsilon, fused=True
    )
    counts = {
        "texts": size * steps,
        "tokens": sum(len(texts[i]) for batch in chosen for i in batch),
        "positions": sum(max(len(texts[i]) for i in batch) * size for batch in chosen),
    }

    def turn() -> dict:
        for batch in chosen:
            rows = [torch.tensor(texts[i]) for i in batch]
            ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "autocast"):
                loss = model(input_ids=ids, attention_mask=mask, labels=torch.tensor([labels[i] for i in batch])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        return counts

    return turn


def _unpacked(batch: Batch) -> tuple[list[list[int]], list[int]]:
    """The tokens and the label of each text of packed rows."""
    places = list(zip(*np.nonzero(batch["label_weights"]), strict=True))
    texts = [batch["token_ids"][row][batch["example_ids"][row] == slot + 1].tolist() for row, slot in places]
    return texts, [int(batch["labels"][place]) for place in places]


def _batches(lengths: list[int], size: int, steps: int, order: str) -> list[list[int]]:
    """Chooses the texts of each step of the peer."""
    if order == "random":
        return np.random.default_rng(0).permutation(len(lengths))[: size * steps].reshape(steps, size).tolist()
    from transformers.trainer_pt_utils import get_length_grouped_indices

    grouped = get_length_grouped_indices(lengths, size)
    # The first group of batches, which are sorted within it.
    group = max(1, min(len(lengths) // (4 * size), 50))
    starts = [int((step + 0.5) / steps * group) * size for step in range(steps)]
    return [grouped[start : start + size] for start in starts]


if __name__ == "__main__":
    sentences.run(main)
