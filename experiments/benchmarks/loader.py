"""Speed of making batches on one thread, compared with the masking collator of Hugging Face `transformers`.

python -m experiments.benchmarks.loader --corpus=corpora/articles

Both take turns making batches of ids, masks and targets from the same tokenised text. The time of ours includes making
pairs, packing and planning blocks; the peer gets rows of full length, and only masks and stacks them. Padding is not
counted. The peer needs `pip install transformers torch`.
"""

import gc
import json
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from bert_jax.batch import real_tokens
from bert_jax.corpus.store import Corpus, open_corpus
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.errors import BertJaxError
from experiments import sentences

_CORPUS = flags.DEFINE_string("corpus", None, "A prepared corpus.", required=True)
_LENGTH = flags.DEFINE_integer("sequence_length", 128, "Tokens per row.", lower_bound=8)
_ROWS = flags.DEFINE_integer("batch_size", 256, "Rows per batch.", lower_bound=1)
_MASKING = flags.DEFINE_string("masking", "token", "token, whole_word or span; the peer masks by token.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Number of measurements of each.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Shortest duration of a measurement.", lower_bound=0.1)

PEER_ROWS = 20_000


def main(_: list[str]) -> None:
    corpus = open_corpus(_CORPUS.value)
    config = DataConfig(sequence_length=_LENGTH.value, masking=_MASKING.value)
    ours = Batches(corpus.train, corpus.sources, corpus.tokenizer, config, seed=0, batch_size=_ROWS.value)
    peer, peer_name = _peer(corpus, config)
    our_step = peer_step = 0
    gc.collect()
    gc.freeze()  # so that no measurement includes collecting imported objects
    for repeat in range(_REPEATS.value):
        our_speed, our_step = _speed(lambda step: real_tokens(ours.batch(step)), our_step)
        peer_speed, peer_step = _speed(peer, peer_step)
        line = {
            "benchmark": "loader",
            "repeat": repeat,
            "sequence_length": config.sequence_length,
            "batch_size": _ROWS.value,
            "masking": config.masking,
            "unit": "real tokens per second, one thread",
            "ours": round(our_speed),
            "peer": round(peer_speed),
            "peer_name": peer_name,
            "ratio": round(our_speed / peer_speed, 1),
        }
        print(json.dumps(line), flush=True)


def _peer(corpus: Corpus, config: DataConfig) -> tuple[Callable[[int], int], str]:
    """Returns a function that collates the batch of a step and returns its number of tokens; and the peer's name."""
    try:
        import torch
        import transformers
    except ImportError:
        raise BertJaxError("The peer is missing: pip install transformers torch.") from None
    torch.set_num_threads(1)
    tokenizer = transformers.BertTokenizer(vocab={piece: i for i, piece in enumerate(corpus.tokenizer.vocabulary)})
    collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=config.mask_rate)
    text_length = config.sequence_length - 2
    count = min(PEER_ROWS, corpus.train.num_tokens // text_length)
    ids = np.asarray(corpus.train.token_ids[: count * text_length], np.int64).reshape(count, text_length)
    ids = np.pad(ids, ((0, 0), (1, 1)))
    ids[:, 0], ids[:, -1] = corpus.tokenizer.cls_id, corpus.tokenizer.sep_id
    rows = [{"input_ids": row} for row in ids.tolist()]

    def tokens_of_step(step: int) -> int:
        first = step * _ROWS.value % max(1, len(rows) - _ROWS.value)
        return collate(rows[first : first + _ROWS.value])["input_ids"].numel()

    return tokens_of_step, f"transformers {transformers.__version__} DataCollatorForLanguageModeling"


def _speed(tokens_of_step: Callable[[int], int], step: int) -> tuple[float, int]:
    """Returns the tokens per second from `step` on, and the next step."""
    began, tokens = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < _SECONDS.value:
        tokens += tokens_of_step(step)
        step += 1
    return tokens / elapsed, step


if __name__ == "__main__":
    sentences.run(main)
