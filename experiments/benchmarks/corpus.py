"""How fast a corpus is made, beside the bare tokenizer that everybody uses on the same text and the same processors.

python -m experiments.benchmarks.corpus --source='jsonl:articles/*.jsonl.gz' --tokenizer=bert/vocab.txt

Ours is `prepare_corpus` from files to an opened corpus: reading, sentences, ids, shards, index, hashes, and the start
of its processes. The peer is `tokenizers` with BERT's normalizer, pre-tokenizer and WordPiece, `encode_batch` alone on
documents that are in memory already, on its own threads. They run in turn, each in a fresh process, and print a JSON
line a measurement; a ratio above 1 means that ours is faster. Memory is resident, the sum over processes.
"""

import collections
import itertools
import json
import multiprocessing
import os
import tempfile
import threading
import time

import psutil
from absl import flags

from bert_jax.data import reading, sources
from bert_jax.data.prepare import prepare_corpus
from bert_jax.tokenization import load_tokenizer
from experiments import sentences

_SOURCE = flags.DEFINE_multi_string("source", None, "As for experiments.prepare_corpus.", required=True)
_TOKENIZER = flags.DEFINE_string("tokenizer", None, "A WordPiece vocabulary.", required=True)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Measurements.", lower_bound=1)
_WORKERS = flags.DEFINE_integer("num_workers", 0, "Processes, and threads of the peer; 0 means one a processor.")

PEER_BATCH = 256  # documents


def ours(specs, tokenizer, workers, pipe) -> None:
    """Sends the seconds that a corpus takes."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        prepare_corpus(specs, f"{folder}/corpus", tokenizer=tokenizer, num_workers=workers, progress=lambda _: None)
        pipe.send(time.perf_counter() - start)


def peer(specs, tokenizer, workers, pipe) -> None:
    """Sends the seconds in `encode_batch`, and the bytes of text."""
    os.environ["RAYON_NUM_THREADS"] = str(workers)
    import tokenizers  # reads the variable when it starts its threads

    given = load_tokenizer(tokenizer)
    ids = {piece: i for i, piece in enumerate(given.vocabulary)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=given.lowercase)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    seconds = size = 0
    texts = _texts(specs)
    while batch := list(itertools.islice(texts, PEER_BATCH)):
        size += sum(len(text.encode()) for text in batch)
        start = time.perf_counter()
        backend.encode_batch(batch, add_special_tokens=False)
        seconds += time.perf_counter() - start
    pipe.send((seconds, size))


def _texts(specs):
    for source in sources.parse(specs, "en"):
        for unit in sources.units(source):
            for document in reading.documents(unit, collections.Counter()):
                yield document.text


def measure(target, *args):
    """What `target` sent from a process of its own, and the peak of resident bytes of it and its children."""
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


def _watch(process, peak, ended) -> None:
    while not ended.wait(0.05):
        total = 0
        try:
            for one in [process, *process.children(recursive=True)]:
                total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        peak[0] = max(peak[0], total)


def main(_):
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
