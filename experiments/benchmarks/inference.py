"""Speed of embedding texts, compared with Hugging Face `transformers` on PyTorch, on the same texts and threads.

python -m experiments.benchmarks.inference --model=PATH --text=FILE

Ours is `embed` with mean pooling. The peer sorts the texts by their number of tokens, pads each batch to its longest,
runs `AutoModel` under `inference_mode`, and takes the mean. Both start from text and end with an array in order.

Three cases: `throughput`, texts per second over the whole file; `latency`, the median time of one text of median
length; `startup`, the time of a fresh process from its start to its first vector, ours with an empty and with a filled
compilation cache. Ours and the peer take turns. For each dtype of ours and each mode of the peer, the script prints a
JSON line with the medians over the turns, and the median and range of the ratios of neighbouring turns; above 1, ours
is faster. `processor_ratio` is that of processor seconds, which other programs on the machine change less, and
`largest_difference` that of the vectors. Threads: as many as the processors that the process may use (see `taskset`).
The peer needs `pip install transformers torch`; its `compile` modes also need a C++ compiler.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from absl import flags

from bert_jax.errors import ConfigError
from bert_jax.interop.tokenizer_files import hugging_face_tokenizer_files
from bert_jax.tokenization.training import count_words, train_wordpiece
from experiments import sentences
from experiments.benchmarks.turns import FailedError, Turns
from experiments.configs.sizes import SIZES
from experiments.lines import read_lines

CASES = ("throughput", "latency", "startup")
MODES = tuple(f"{dtype} {kind}" for dtype in ("float32", "bfloat16") for kind in ("sdpa", "eager", "compile"))
_MODEL = flags.DEFINE_string(
    "model", None, f"A folder of Hugging Face, or a size for random weights: {', '.join(SIZES)}.", required=True
)
_TEXT = flags.DEFINE_string("text", None, "A file with a text on each line.", required=True)
_NUM_TEXTS = flags.DEFINE_integer("num_texts", 1500, "The number of lines that are used.", lower_bound=1)
_CASES = flags.DEFINE_list("cases", list(CASES), "What is measured.")
_MODES = flags.DEFINE_list("modes", ["float32 sdpa", "bfloat16 sdpa"], f"Modes of the peer, of {', '.join(MODES)}.")
_OURS = flags.DEFINE_list("ours", ["float32", "bfloat16"], "Dtypes of ours.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Number of turns of each.", lower_bound=1)
_PEER_BATCH = flags.DEFINE_integer("peer_batch", 32, "Texts in a batch of the peer.", lower_bound=1)

CALLS = 20  # in a turn of `latency`
VOCAB_SIZE = 30_522  # of random weights

OURS_FROM_THE_START = "import sys, bert_jax; bert_jax.load(sys.argv[1], dtype=sys.argv[2]).embed(sys.argv[3])"
PEER_FROM_THE_START = """
import sys, torch, transformers
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
model = transformers.AutoModel.from_pretrained(
    sys.argv[1], dtype=getattr(torch, sys.argv[2]), attn_implementation=sys.argv[4]
).eval()
with torch.inference_mode():
    model(**tokenizer([sys.argv[3]], return_tensors="pt")).last_hidden_state.mean(1).float().numpy()
"""


def main(_: list[str]) -> None:
    if wrong := [mode for mode in _MODES.value if mode not in MODES]:
        raise ConfigError(f"--modes: {wrong[0]!r} is not one of {', '.join(MODES)}.")
    texts = read_lines(_TEXT.value)[: _NUM_TEXTS.value]
    with tempfile.TemporaryDirectory() as folder:
        model = _random_model(folder, _MODEL.value, texts) if _MODEL.value in SIZES else _MODEL.value
        rows = [row for case in _CASES.value for row in _case(case, model, texts)]
    print(_table(rows))


def _case(case: str, model: str, texts: list[str]) -> list[dict[str, Any]]:
    """Measures a case, each dtype of ours against each mode of the peer."""
    one = sorted(texts, key=len)[len(texts) // 2]
    if case == "startup":
        return _startups(model, one)
    texts, calls = (texts, 1) if case == "throughput" else ([one], CALLS)
    ours = {dtype: Turns(_ours, model, dtype, texts, calls) for dtype in _OURS.value}
    rows = []
    for mode in _MODES.value:
        peer = Turns(_peer, model, mode, texts, calls, _PEER_BATCH.value)
        pairs: dict[str, list] = {dtype: [] for dtype in ours}
        try:
            for _ in range(_REPEATS.value):
                for dtype, turns in ours.items():
                    pairs[dtype].append((turns.take(), peer.take()))
        except FailedError as failure:
            print(json.dumps({"suite": "inference", "case": case, "peer_mode": mode, "failed": str(failure)}))
            peer.end()
            continue
        for dtype, pair in pairs.items():
            apart = max(abs(mine["vectors"] - theirs["vectors"]).max() for mine, theirs in pair)
            scale = len(texts) if case == "throughput" else None
            busy = statistics.median(theirs["processor"] / mine["processor"] for mine, theirs in pair)
            extra = {
                "processor_ratio": round(busy, 3),
                "texts": len(texts),
                "largest_difference": float(f"{apart:.1e}"),
            }
            rows.append(_row(case, dtype, mode, [(a["median"], b["median"]) for a, b in pair], scale, extra))
        peer.end()
    for turns in ours.values():
        turns.end()
    return rows


def _row(case: str, ours: str, mode: str, seconds: list[tuple], scale: int | None, extra: dict) -> dict[str, Any]:
    """Prints and returns a row.

    Args:
      case: its name.
      ours: our mode.
      mode: the peer's.
      seconds: of neighbouring turns: ours, the peer's.
      scale: the number of texts; None if the seconds themselves are reported.
      extra: further fields.
    """
    ratios = [theirs / mine for mine, theirs in seconds]
    medians = [statistics.median(x) for x in zip(*seconds, strict=True)]
    row = {
        "suite": "inference",
        "case": case,
        "metric": "time" if scale is None else "throughput",
        "unit": "s" if scale is None else "texts/s",
        "ours": float(f"{medians[0] if scale is None else scale / medians[0]:.4g}"),
        "peer": float(f"{medians[1] if scale is None else scale / medians[1]:.4g}"),
        "ours_mode": ours,
        "peer_mode": mode,
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "repeats": len(seconds),
        "threads": len(os.sched_getaffinity(0)),
        "model": _MODEL.value,
    } | extra
    print(json.dumps(row), flush=True)
    return row


def _timed(run: Callable[[], Any], calls: int) -> dict[str, Any]:
    """Calls `run` several times; returns the median time, and the vectors, each divided by its length."""
    import numpy as np

    times, vectors = [], None
    for _ in range(calls):
        start = time.perf_counter()
        vectors = run()
        times.append(time.perf_counter() - start)
    return {"median": statistics.median(times), "vectors": vectors / np.linalg.norm(vectors, axis=1, keepdims=True)}


def _ours(model: str, dtype: str, texts: list[str], calls: int) -> Callable[[], dict]:
    import bert_jax

    bert = bert_jax.load(model, dtype=dtype)
    return lambda: _timed(lambda: bert.embed(texts, pooling="mean", normalize=False), calls)


def _peer(model: str, mode: str, texts: list[str], calls: int, batch_size: int) -> Callable[[], dict]:
    import numpy as np
    import torch
    import transformers

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    dtype, kind = mode.split()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    bert = transformers.AutoModel.from_pretrained(
        model, dtype=getattr(torch, dtype), attn_implementation="eager" if kind == "eager" else "sdpa"
    ).eval()
    longest = min(bert.config.max_position_embeddings, tokenizer.model_max_length)
    run = torch.compile(bert, dynamic=True) if kind == "compile" else bert

    def embed() -> np.ndarray:
        ids = tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: -len(ids[i]))
        vectors = np.empty((len(texts), bert.config.hidden_size), np.float32)
        for begin in range(0, len(order), batch_size):
            index = order[begin : begin + batch_size]
            batch = tokenizer.pad({"input_ids": [ids[i] for i in index]}, return_tensors="pt")
            mask = batch["attention_mask"][..., None]
            hidden = run(**batch).last_hidden_state.float()
            vectors[index] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
        return vectors

    def turn() -> dict:
        with torch.inference_mode():
            return _timed(embed, calls)

    return turn


def _startups(model: str, text: str) -> list[dict[str, Any]]:
    """Measures fresh processes. The first with a cache only fills it, and brings files into memory."""
    rows = []
    for dtype in _OURS.value:
        with tempfile.TemporaryDirectory() as filled:
            _startup(OURS_FROM_THE_START, filled, model, dtype, text)
            for mode in _MODES.value:
                peer_dtype, kind = mode.split()
                if kind == "compile":
                    continue
                empty_pairs, filled_pairs = [], []
                for _ in range(_REPEATS.value):
                    theirs = _startup(PEER_FROM_THE_START, filled, model, peer_dtype, text, kind)
                    filled_pairs.append((_startup(OURS_FROM_THE_START, filled, model, dtype, text), theirs))
                    with tempfile.TemporaryDirectory() as empty:
                        empty_pairs.append((_startup(OURS_FROM_THE_START, empty, model, dtype, text), theirs))
                rows.append(_row("startup, filled cache", dtype, mode, filled_pairs, None, {}))
                rows.append(_row("startup, empty cache", dtype, mode, empty_pairs, None, {}))
    return rows


def _startup(program: str, cache: str, *args: str) -> float:
    """Returns the seconds that a program takes in a fresh process."""
    settings = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", program, *args], check=True, env=os.environ | settings, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def _random_model(folder: str, size: str, texts: list[str]) -> str:
    """Writes a model with random weights, and a vocabulary from the texts; returns its folder."""
    import transformers

    layers, width, heads = SIZES[size]
    tokenizer = train_wordpiece(count_words(texts, lowercase=True), VOCAB_SIZE, lowercase=True)
    transformers.BertModel(
        transformers.BertConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
        )
    ).save_pretrained(folder)
    for name, content in hugging_face_tokenizer_files(tokenizer, 512).items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    return folder


def _table(rows: list[dict[str, Any]]) -> str:
    """Formats the rows as Markdown."""
    lines = ["| case | ours | peer | ours | peer | unit | ratio |", "|---" * 7 + "|"]
    for row in rows:
        spread = f"{row['ratio']:.2f} ({row['ratio_min']:.2f}–{row['ratio_max']:.2f})"
        values = (row["case"], row["ours_mode"], row["peer_mode"], f"{row['ours']:g}", f"{row['peer']:g}")
        lines.append(f"| {' | '.join((*values, row['unit'], spread))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sentences.run(main)
