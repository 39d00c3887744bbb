"""Training steps a second, against Hugging Face `transformers` on PyTorch, on the same batches.

python -m experiments.benchmarks.train_step --config=experiments/configs/mini.py --config.data.corpus=DIR

Ours is the step that `experiments.pretrain` runs, AdamW and dropout included; the peer is `BertForPreTraining` with the
same sizes, dropout, loss and optimiser, in each of its modes. Both get unpacked rows of the same real text. Each runs
in a process of its own and they take turns, the others idle: a JSON line a turn, then a table in Markdown of medians
over the turns. A ratio is that of neighbouring turns; above 1, ours is faster. Memory is the resident peak of the
process. The peer needs `pip install transformers torch`, its `compile` modes a C++ compiler.
"""

import contextlib
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

from absl import flags

from bert_jax.errors import BertJaxError
from bert_jax.tasks.pretraining import PretrainingConfig
from experiments import config_flags

MODES = tuple(f"{dtype} {kind}" for dtype in ("float32", "bfloat16") for kind in ("sdpa", "eager", "compile"))
_MODES = flags.DEFINE_list("modes", list(MODES), "The peer's modes.")
_OURS = flags.DEFINE_list("ours", ["float32", "bfloat16"], "Our dtypes.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Turns of each.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 5, "Steps a turn.", lower_bound=1)

BATCHES = 4


def main(config: PretrainingConfig) -> None:
    config.data.max_examples = 1
    config.train.num_steps = config.train.num_steps or 1000
    peaks = {}
    for dtype in _OURS.value:
        measuring = _Turns(_matrix_peak, config, dtype)
        peaks[dtype] = measuring.take()["flops"]
        measuring.end()
    ours = {dtype: _Turns(_ours, config, dtype) for dtype in _OURS.value}
    rows, failures = [], {}
    for mode in _MODES.value:
        peer = _Turns(_peer, config, mode)
        try:
            for repeat in range(_REPEATS.value):
                theirs = peer.take()
                for dtype, turns in ours.items():
                    rows.append(_row(config, dtype, mode, repeat, turns.take(), theirs, peaks[dtype]))
                    print(json.dumps(rows[-1]), flush=True)
        except _FailedError as failure:
            failures[mode] = str(failure)
            print(json.dumps({"benchmark": "train_step", "peer": f"torch {mode}", "failed": str(failure)}), flush=True)
        peer.end()
    for turns in ours.values():
        turns.end()
    print(_table(rows, failures))


def _row(config, dtype, mode, repeat, mine, theirs, peak) -> dict:
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
    """Medians over the turns, in Markdown: a line for each of our dtypes against each of the peer's modes."""
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


class _FailedError(BertJaxError):
    """A mode that cannot be measured here."""


class _Turns:
    """A process that measures when it is asked to."""

    def __init__(self, make: Callable, config: PretrainingConfig, mode: str):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, config, mode, _STEPS.value, other), daemon=True)
        self._process.start()
        other.close()

    def take(self) -> dict:
        """One measurement."""
        self._pipe.send(True)
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise _FailedError("A measuring process died: see its message above.") from None
        if isinstance(answer, str):
            raise _FailedError(answer)
        return answer

    def end(self) -> None:
        with contextlib.suppress(OSError):  # it may have died
            self._pipe.send(False)
        self._process.join()


def _serve(make, config, mode, steps, pipe) -> None:
    try:
        turn = make(config, mode)
        turn(2)  # compilation and first touches
    except ImportError:
        turn = "The peer is missing: pip install transformers torch."
    except Exception as error:  # of whatever kind: the other modes are still to be measured
        turn = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    while pipe.recv():
        if isinstance(turn, str):
            pipe.send(turn)
            continue
        start, processor = time.perf_counter(), time.process_time()
        result = turn(steps)
        used = {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send(result | used | {"memory": memory})


def _batches(config: PretrainingConfig):
    from bert_jax.tasks.pretraining import training_batches

    _, batches = training_batches(config)
    return [batches.batch(step) for step in range(BATCHES)]


def _counts(config, batches, steps) -> dict:
    from bert_jax.model.flops import training_flops

    used = [batches[i % BATCHES] for i in range(steps)]
    flops = sum(training_flops(config.model, batch) for batch in used)
    return {
        "rows": sum(len(batch["token_ids"]) for batch in used),
        "tokens": int(sum((batch["sequence_ids"] > 0).sum() for batch in used)),
        "flops": flops,
    }


def _ours(config: PretrainingConfig, dtype: str) -> Callable[[int], dict]:
    import jax

    from bert_jax import sharding
    from bert_jax.model.bert import layer_of
    from bert_jax.optimizer import make_optimizer, make_schedule
    from bert_jax.tasks.pretraining import make_loss_fn, set_up
    from bert_jax.training.state import create_state
    from bert_jax.training.step import make_train_step

    config.model.dtype = dtype
    run = set_up(config)
    jax.set_mesh(run.mesh)
    schedule = make_schedule(config.optimizer, config.train.num_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    with sharding.rules():
        make_state, _ = create_state(run.init, optimizer, 0, run.mesh)
        step = jax.jit(
            make_train_step(make_loss_fn(run.model, config.data, run.corpus.sources), optimizer, schedule, layer_of),
            donate_argnums=0,
        )
        host = _batches(config)
        placed, state = [run.place(batch) for batch in host], make_state()

        def turn(steps: int) -> dict:
            nonlocal state
            for i in range(steps):
                state, metrics = step(state, placed[i % BATCHES])
            jax.block_until_ready(metrics)
            return _counts(config, host, steps)

        turn(1)
    return turn


def _peer(config: PretrainingConfig, mode: str) -> Callable[[int], dict]:
    import numpy as np
    import torch
    import transformers

    from bert_jax.data.corpus import open_corpus

    config.model.vocab_size = open_corpus(config.data.corpus).tokenizer.vocab_size
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
    host, inputs = _batches(config), []
    for batch in host:
        labels = np.full_like(batch["token_ids"], -100)
        row, slot = np.nonzero(batch["masked_weights"])
        labels[row, batch["masked_positions"][row, slot]] = batch["masked_targets"][row, slot]
        arrays = {
            "input_ids": batch["token_ids"],
            "token_type_ids": batch["segment_ids"],
            "attention_mask": batch["sequence_ids"],
            "labels": labels,
            "next_sentence_label": batch["nsp_labels"][:, 0],
        }
        inputs.append({name: torch.tensor(value, dtype=torch.long) for name, value in arrays.items()})

    def turn(steps: int) -> dict:
        for i in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                loss = run(**inputs[i % BATCHES]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.clip_norm or float("inf"))
            optimizer.step()
            optimizer.zero_grad()
        return _counts(config, host, steps)

    return turn


def _matrix_peak(config: PretrainingConfig, dtype: str) -> Callable[[int], dict]:
    """The best product in `dtype` on this machine, in floating-point operations a second."""
    import jax
    import jax.numpy as jnp

    from bert_jax.model.products import product as multiply

    size = 2048
    x = jnp.ones((size, size), dtype)
    product = jax.jit(lambda x: multiply(x, x))
    product(x).block_until_ready()

    def turn(steps: int) -> dict:
        best = 0.0
        for _ in range(10):
            start = time.perf_counter()
            product(x).block_until_ready()
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
        return {"flops": best}

    return turn


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
