"""Speed of building a corpus, compared with the `tokenizers` library on the same text and processors.

python -m experiments.benchmarks.corpus --source='jsonl:articles/*.jsonl.gz' --tokenizer=bert/vocab.txt

Ours is `prepare_corpus` from files to a finished corpus: reading, sentence splitting, ids, shards, index, hashes, and
starting its processes. The peer is `tokenizers` with BERT's normalizer, pre-tokenizer and WordPiece: `encode_batch`
alone, on documents in memory, with its own threads. They run in turn, each in a fresh process, and print one JSON line
per measurement; a ratio above 1 means that ours is faster. Memory is the resident size, summed over processes.
"""

import collections
import itertools
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import psutil
from absl import flags

from bert_jax.corpus.builder import reading, sources
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.tokenization import load_tokenizer
from bert_jax.tokenization.wordpiece import WordPieceTokenizer
from experiments import sentences

_SOURCE = flags.DEFINE_multi_string("source", None, "A source, as in experiments.prepare_corpus.", required=True)
_TOKENIZER = flags.DEFINE_string("tokenizer", None, "A WordPiece vocabulary.", required=True)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Number of measurements.", lower_bound=1)
_WORKERS = flags.DEFINE_integer("num_workers", 0, "Processes, and threads of the peer; 0: one per processor.")

PEER_BATCH = 256  # documents


def ours(specs: list[str], tokenizer: str, workers: int, pipe: Connection) -> None:
    """Builds a corpus, and sends the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        prepare_corpus(specs, f"{folder}/corpus", tokenizer=tokenizer, num_workers=workers, progress=lambda _: None)
        pipe.send(time.perf_counter() - start)


def peer(specs: list[str], tokenizer: str, workers: int, pipe: Connection) -> None:
    """Sends the seconds spent in `encode_batch`, and the bytes of text."""
    os.environ["RAYON_NUM_THREADS"] = str(workers)
    import tokenizers  # it reads the variable when it starts its threads

    given = load_tokenizer(tokenizer)
    assert isinstance(given, WordPieceTokenizer)  # the flag asks for one
    ids = {piece: i for i, piece in enumerate(given.vocabulary)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=given.lowercase)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    seconds, size = 0.0, 0
    texts = _texts(specs)
    while batch := list(itertools.islice(texts, PEER_BATCH)):
        size += sum(len(text.encode()) for text in batch)
        start = time.perf_counter()
        backend.encode_batch(batch, add_special_tokens=False)
        seconds += time.perf_counter() - start
    pipe.send((seconds, size))


def _texts(specs: list[str]) -> Iterator[str]:
    for source in sources.parse(specs, "en"):
        for unit in sources.units(source):
            for document in reading.documents(unit, collections.Counter()):
                yield document.text


def measure(target: Callable[..., None], *args: Any) -> tuple[Any, int]:
    """Runs `target` in its own process; returns what it sent, and its peak resident bytes, children included."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*args, sender))
    process.start()
    sender.close()
    peak, ended = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(psutil.Process(process.pid), peak, ended))
    watcher.start()
    result = receiver.recv()
    ended.set()
    process.join()
    watcher.join()
    return result, peak[0]


def _watch(process: psutil.Process, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(0.05):
        total = 0
        try:
            for one in [process, *process.children(recursive=True)]:
                total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        peak[0] = max(peak[0], total)


def main(argv: list[str]) -> None:
    workers = _WORKERS.value or multiprocessing.cpu_count()
    asked = (_SOURCE.value, _TOKENIZER.value, workers)
    for _ in range(_REPEATS.value):
        seconds, memory = measure(ours, *asked)
        (peer_seconds, size), peer_memory = measure(peer, *asked)
        row = {
            "benchmark": "corpus",
            "workers": workers,
            "ours": round(size / 1e6 / seconds, 2),
            "peer": round(size / 1e6 / peer_seconds, 2),
            "ratio": round(peer_seconds / seconds, 3),
            "unit": "MB/s",
            "ours_peak_memory_mb": round(memory / 1e6),
            "peer_peak_memory_mb": round(peer_memory / 1e6),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sentences.run(main)
