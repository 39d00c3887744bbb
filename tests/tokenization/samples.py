"""Small tokenizers of every kind, and text with something to learn in it."""

import json

import numpy as np
import tokenizers

from bert_jax.tokenization import JsonTokenizer, SentencePieceTokenizer, Tokenizer, WordPieceTokenizer, from_files
from bert_jax.tokenization.training import train_byte_level, train_sentencepiece
from bert_jax.tokenization.wordpiece import PREFIX

FIVE = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TEXTS = (
    "the moon rose.",
    "a cat, the cat",
    "",
    " \n ",
    "Ünable moons!",
    "月が出た。",
    "lone \ud800 surrogate",
    "</s>[MASK]",
)


def sentences(count: int = 300) -> list[str]:
    """Sentences of made-up words, some far more frequent than others; always the same."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(300)]
    ranks = np.minimum(rng.zipf(1.3, (count, 8)), len(words)) - 1
    return [" ".join([*(words[rank] for rank in row), "the cat, [MASK] </s> <mask> mask cls."]) for row in ranks]


def wordpiece() -> WordPieceTokenizer:
    characters = sorted(set("".join(sentences()) + "moonü月。!") - {" "})
    return WordPieceTokenizer(
        (*FIVE, "SPK", "[unused0]", *characters, *(PREFIX + c for c in characters), "cat", "moon", "rose", "##ose"),
        lowercase=False,
        extra_special_tokens=("SPK",),
    )


def sentence_piece() -> SentencePieceTokenizer:
    return train_sentencepiece(sentences(), 120, lowercase=True, special_tokens=["<spk>"], reserved_slots=1)


def trained_bytes() -> JsonTokenizer:
    return train_byte_level(sentences(), 400, special_tokens=["<spk>"], reserved_slots=1)


def byte_level_json(**changes) -> bytes:
    """A `tokenizer.json` as RoBERTa's: special tokens in the model's own vocabulary, merges that lead to one."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, "Ġt", "he", "Ġthe", "Ġc", "at", "Ġcat", "<m", "as", "k>"]
    pieces += ["ask>", "<mask>", "Ġ<", "cls"]
    merges = ["Ġ t", "h e", "Ġt he", "Ġ c", "a t", "Ġc at", "< m", "k >", "a s", "as k>", "<m ask>"]
    model = tokenizers.models.BPE(dict(zip(pieces, range(len(pieces)), strict=True)), [])
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_tokens(["<s>", "</s>", "<mask>"])
    backend.add_special_tokens(["<extra>"])
    document = json.loads(backend.to_str())
    document["model"] |= {"vocab": {p: i for i, p in enumerate(pieces) if p != "ask>"} | {"ask>": pieces.index("ask>")}}
    document["model"]["merges"] = merges
    return json.dumps(document | changes).encode()


def unigram_json() -> bytes:
    """A `tokenizer.json` as XLM-R's: special tokens are pieces with the best score of all."""
    letters = sorted(set("".join(sentences()) + "moonü月。!") - {" "})
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁cat", -4.0), ("cat", -5.0)]
    pieces += [(letter, -6.0) for letter in letters] + [("月", -7.0)] * ("月" not in letters) + [("<mask>", 0.0)]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=3))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    backend.decoder = tokenizers.decoders.Metaspace()
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return backend.to_str().encode()


def all_kinds() -> dict[str, Tokenizer]:
    return {
        "wordpiece": wordpiece(),
        "sentence_piece": sentence_piece(),
        "byte_level": from_files({"tokenizer.json": byte_level_json()}),
        "trained_bytes": trained_bytes(),
        "unigram_json": from_files({"tokenizer.json": unigram_json()}),
    }
