"""Speed of training steps, compared with Hugging Face `transformers` on PyTorch, on the same batches.

python -m experiments.benchmarks.train_step --config=experiments/configs/sizes.py:mini --config.data.corpus=DIR

Ours is the step that `experiments.pretrain` runs, with AdamW and dropout. The peer is `BertForPreTraining`, with equal
sizes, dropout, loss and optimiser, in each of its modes. Both get unpacked rows of the same real text. Each runs in its
own process, and they take turns while the others are idle. The script prints a JSON line per turn, then the medians
over the turns as a Markdown table. Ratios compare neighbouring turns; above 1, ours is faster. Memory is the peak
resident size of the process. The peer needs `pip install transformers torch`; its `compile` modes also need a C++
compiler.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from absl import flags

from bert_jax.batch import Batch, real_tokens
from bert_jax.objectives.learner import Learner
from bert_jax.tasks.pretraining import PretrainingConfig, make_objectives, training_batches
from experiments import config_flags
from experiments.benchmarks.turns import FailedError, Turns

MODES = tuple(f"{dtype} {kind}" for dtype in ("float32", "bfloat16") for kind in ("sdpa", "eager", "compile"))
_MODES = flags.DEFINE_list("modes", list(MODES), "Modes of the peer.")
_OURS = flags.DEFINE_list("ours", ["float32", "bfloat16"], "Dtypes of ours.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Number of turns of each.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 5, "Number of steps per turn.", lower_bound=1)

BATCHES = 4


def main(config: PretrainingConfig) -> None:
    config.data.max_examples = 1
    config.train.num_steps = config.train.num_steps or 1000
    peaks = {}
    for dtype in _OURS.value:
        measuring = Turns(_matrix_peak, dtype)
        peaks[dtype] = measuring.take()["flops"]
        measuring.end()
    ours = {dtype: Turns(_ours, config, dtype, _STEPS.value) for dtype in _OURS.value}
    rows, failures = [], {}
    for mode in _MODES.value:
        peer = Turns(_peer, config, mode, _STEPS.value)
        try:
            for repeat in range(_REPEATS.value):
                theirs = peer.take()
                for dtype, turns in ours.items():
                    rows.append(_row(config, dtype, mode, repeat, turns.take(), theirs, peaks[dtype]))
                    print(json.dumps(rows[-1]), flush=True)
        except FailedError as failure:
            failures[mode] = str(failure)
            print(json.dumps({"benchmark": "train_step", "peer": f"torch {mode}", "failed": str(failure)}), flush=True)
        peer.end()
    for turns in ours.values():
        turns.end()
    print(_table(rows, failures))


def _row(
    config: PretrainingConfig, dtype: str, mode: str, repeat: int, mine: dict, theirs: dict, peak: float
) -> dict[str, Any]:
    return {
        "benchmark": "train_step",
        "model": f"{config.model.num_layers} layers, width {config.model.hidden_size}",
        "batch": f"{config.train.batch_size} x {config.data.sequence_length}",
        "ours": f"jax {dtype}",
        "peer": f"torch {mode}",
        "repeat": repeat,
        "ours_sequences_per_second": round(mine["rows"] / mine["seconds"], 2),
        "peer_sequences_per_second": round(theirs["rows"] / theirs["seconds"], 2),
        "ours_real_tokens_per_second": round(mine["tokens"] / mine["seconds"]),
        "peer_real_tokens_per_second": round(theirs["tokens"] / theirs["seconds"]),
        "ours_share_of_matrix_peak": round(mine["flops"] / mine["seconds"] / peak, 3),
        "ours_processor_seconds_per_step": round(mine["processor"] / _STEPS.value, 3),
        "peer_processor_seconds_per_step": round(theirs["processor"] / _STEPS.value, 3),
        "ours_peak_memory_mb": round(mine["memory"] / 1e6),
        "peer_peak_memory_mb": round(theirs["memory"] / 1e6),
        "ratio": round(mine["rows"] / mine["seconds"] * theirs["seconds"] / theirs["rows"], 3),
    }


def _table(rows: list[dict], failures: dict[str, str]) -> str:
    """Formats the medians over the turns as Markdown: a line for each pair of our dtypes and the peer's modes."""
    shown = [name for name in rows[0] if name.startswith(("ours_", "peer_")) or name == "ratio"] if rows else []
    titles = ["ours", "peer", *(name.replace("_", " ") for name in shown)]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    pairs = dict.fromkeys((row["ours"], row["peer"]) for row in rows)
    for pair in pairs:
        turns = [row for row in rows if (row["ours"], row["peer"]) == pair]
        medians = [f"{statistics.median(row[name] for row in turns):g}" for name in shown]
        lines.append(f"| {' | '.join((*pair, *medians))} |")
    lines += [f"| | torch {mode} | failed: {reason} |" for mode, reason in failures.items()]
    return "\n".join(lines)


def _host(config: PretrainingConfig) -> tuple[Learner, list[Batch]]:
    """Returns the learner, for its FLOPs, and some batches; fills in the vocabulary size of the config."""
    corpora, stream = training_batches(config)
    config.model.vocab_size = corpora[config.data.corpus].tokenizer.vocab_size
    learner = Learner(config.model, make_objectives(config.data, config.mlm))
    return learner, [stream.batch(step) for step in range(BATCHES)]


def _counts(learner: Learner, batches: list[Batch], steps: int) -> dict[str, float]:
    used = [batches[i % BATCHES] for i in range(steps)]
    return {
        "rows": sum(len(batch["token_ids"]) for batch in used),
        "tokens": sum(map(real_tokens, used)),
        "flops": sum(map(learner.flops, used)),
    }


def _ours(config: PretrainingConfig, dtype: str, steps: int) -> Callable[[], dict]:
    import jax

    from bert_jax import sharding
    from bert_jax.tasks.pretraining import Pretraining
    from bert_jax.training.run import prepare

    config.model.dtype = dtype
    learner, host = _host(config)
    placed = prepare(Pretraining(), config)
    jax.set_mesh(placed.mesh)
    with sharding.rules():
        program = placed.program(config.train.length)
        batches, state = [placed.work(step).batch for step in range(BATCHES)], program.make_state({})

        def turn() -> dict:
            nonlocal state
            metrics = {}
            for i in range(steps):
                state, metrics = program.train_step(state, batches[i % BATCHES])
            jax.block_until_ready(metrics)
            return _counts(learner, host, steps)

        turn()
    return turn


def _peer(config: PretrainingConfig, mode: str, steps: int) -> Callable[[], dict]:
    import numpy as np
    import torch
    import transformers

    learner, host = _host(config)
    assert config.model.vocab_size is not None  # filled in by `_host`
    dtype, kind = mode.split()
    sizes = transformers.BertConfig(
        vocab_size=config.model.vocab_size,
        hidden_size=config.model.hidden_size,
        num_hidden_layers=config.model.num_layers,
        num_attention_heads=config.model.num_heads,
        intermediate_size=config.model.feed_forward_size,
        max_position_embeddings=config.model.max_positions,
        hidden_dropout_prob=config.model.dropout,
        attention_probs_dropout_prob=config.model.attention_dropout,
    )
    sizes._attn_implementation = "eager" if kind == "eager" else "sdpa"
    model = transformers.BertForPreTraining(sizes).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, eps=config.optimizer.epsilon, weight_decay=config.optimizer.weight_decay
    )
    run = torch.compile(model) if kind == "compile" else model
    inputs = []
    for batch in host:
        labels = np.full_like(batch["token_ids"], -100)
        row, slot = np.nonzero(batch["masked_weights"])
        labels[row, batch["masked_positions"][row, slot]] = batch["masked_targets"][row, slot]
        arrays = {
            "input_ids": batch["token_ids"],
            "token_type_ids": batch["token_type_ids"],
            "attention_mask": batch["example_ids"],
            "labels": labels,
            "next_sentence_label": batch["nsp_labels"][:, 0],
        }
        inputs.append({name: torch.tensor(value, dtype=torch.long) for name, value in arrays.items()})

    def turn() -> dict:
        for i in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                loss = run(**inputs[i % BATCHES]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.clip_norm or float("inf"))
            optimizer.step()
            optimizer.zero_grad()
        return _counts(learner, host, steps)

    return turn


def _matrix_peak(dtype: str) -> Callable[[], dict]:
    """Measures the fastest matrix product in `dtype` on this machine, in floating-point operations per second."""
    import jax
    import jax.numpy as jnp

    from bert_jax.model.products import product as multiply

    size = 2048
    x = jnp.ones((size, size), dtype)
    product = jax.jit(lambda x: multiply(x, x))
    product(x).block_until_ready()

    def turn() -> dict:
        best = 0.0
        for _ in range(10):
            start = time.perf_counter()
            product(x).block_until_ready()
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
        return {"flops": best}

    return turn


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
