"""Small tokenizers built as those of the encoders of today: their special tokens, patterns and frames.

Each is a folder's files by name. The text that they learn from is their own.
"""

import functools
import json

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from bert_jax.tokenization.frames import template
from tests.tokenization import samples

PROSE = (
    "The cat sat on the mat. It's 12:30, isn't it?",
    "Élan, naïve Ærø! Οδύσσεια, straße, café",
    "月が出た。 東京 한국어",
    "Привет, мир (йод) 12345",
    "हिन्दी में नमस्ते",
    "مرحبا بالعالم שלום ไทย",
    "def f(x):\n    return x\n\n\n\tx = 1",
)
NASTY = (
    *PROSE,
    "",
    " ",
    "   ",
    "\n\n \t ",
    "  the  cat   sat    on",
    "the\t\tcat\r\nsat\x0b\x1f\x85.",
    "\u0130stanbul I\u0307 ﬁ ½ Ⅷ ㈱",
    "e\u0301 a\u0323\u0302 \u0301x é A\u030a K \u212b",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ❤️ 😀😀",
    "\x00\x01a\x7f\u200b\u200d\ufeff\u00ad\u2028b",
    "a\u00a0b\u3000c",
    "1234567 a1b22 3.14 x² ①",
    "don't DON'T ''s'll",
    "𠀀𠮷 \U000e0041 \ufffd \uffff",
    "🏴\u2581the ▁ Ġthe <0x41> |||EMAIL_ADDRESS||| |||x",
    "-" * 40 + "=" * 9,
)
# GPT-2's pattern is the library's own; this is Llama 3's.
LLAMA_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _token(id_: int, content: str, special: bool = True, lstrip: bool = False) -> dict:
    flags = {"single_word": False, "lstrip": lstrip, "rstrip": False, "normalized": not special}
    return {"id": id_, "content": content, **flags, "special": special}


def _learnt(backend: tokenizers.Tokenizer, size: int, alphabet: list[str]) -> tuple[list[str], list]:
    """The pieces and the merges that a tokenizer learns."""
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    backend.train_from_iterator([*PROSE * 5, *samples.sentences(60)], trainer)
    model = json.loads(backend.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), model["merges"]


def _files(backend: tokenizers.Tokenizer, changes: dict, config: dict) -> dict[str, bytes]:
    document = json.loads(backend.to_str())
    model = document["model"] | changes.pop("model")
    document |= {"model": model} | changes
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192} | config
    decoder = {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in document["added_tokens"]}
    names |= {"model_input_names": ["input_ids", "attention_mask"], "added_tokens_decoder": decoder}
    return {"tokenizer.json": json.dumps(document).encode(), "tokenizer_config.json": json.dumps(names).encode()}


def _ids(pieces: list[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(pieces)}


@functools.cache
def modern_bert() -> dict[str, bytes]:
    """ModernBERT's and Ettin's kind: GPT-NeoX's byte-level BPE, BERT's five behind it, runs of spaces as tokens."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    pieces, merges = _learnt(backend, 600, pre_tokenizers.ByteLevel.alphabet())
    pieces = ["|||IP_ADDRESS|||", "<|padding|>", *pieces]
    behind = [(" " * n, False) for n in range(24, 1, -1)]
    behind += [("|||EMAIL_ADDRESS|||", False), ("|||PHONE_NUMBER|||", False), ("<|endoftext|>", True)]
    behind += [(name, True) for name in ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")]
    behind += [(f"[unused{i}]", False) for i in range(5)]
    added = [_token(0, pieces[0], False), _token(1, pieces[1])]
    added += [_token(i, name, special, name == "[MASK]") for i, (name, special) in enumerate(behind, len(pieces))]
    at = {token["content"]: token["id"] for token in added}
    return _files(
        backend,
        {
            "model": {"vocab": _ids(pieces), "merges": merges},
            "added_tokens": added,
            "post_processor": template("[CLS]", at["[CLS]"], "[SEP]", at["[SEP]"], 1),
        },
        {f"{name.lower()}_token": f"[{name}]" for name in ("CLS", "SEP", "PAD", "MASK", "UNK")},
    )


@functools.cache
def euro_bert() -> dict[str, bytes]:
    """EuroBERT's kind: Llama 3's byte-level BPE, whose end of text also pads, and which has no unknown token."""
    backend = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(tokenizers.Regex(LLAMA_WORDS), "isolated")
    encode = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, encode])
    backend.decoder = decoders.ByteLevel()
    pieces, merges = _learnt(backend, 600, pre_tokenizers.ByteLevel.alphabet())
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|mask|>", "<|parallel_sep|>"]
    names += [f"<|reserved_special_token_{i}|>" for i in range(2, 6)]
    added = [_token(i, name) for i, name in enumerate(names, len(pieces))]
    frame = template(names[0], added[0]["id"], names[1], added[1]["id"], 1)
    trim = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return _files(
        backend,
        {
            "model": {"vocab": _ids(pieces), "merges": merges, "ignore_merges": True},
            "added_tokens": added,
            "post_processor": {"type": "Sequence", "processors": [trim, frame]},
        },
        {"bos_token": names[0], "eos_token": names[1], "pad_token": names[1], "mask_token": names[2]},
    )


@functools.cache
def mm_bert() -> dict[str, bytes]:
    """mmBERT's kind: Gemma 2's BPE over whole texts, with bytes for unknown characters."""
    backend = tokenizers.Tokenizer(models.BPE())
    # No piece goes on behind a word.
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    learnt, merges = _learnt(backend, 400, [])
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(steps)
    known = {"月", "東", "京", "ไ"}  # the others of these scripts are spelt in bytes
    learnt = [piece for piece in learnt if len(piece) > 1 or ord(piece) < 0x500 or piece in {*known, "▁"}]
    kept = {*learnt}
    merges = [pair for pair in merges if kept.issuperset((*pair, "".join(pair)))]
    head = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        "<unused0>",
        "<unused1>",
        "\n",
        "\n\n",
        "▁▁",
        "▁▁▁",
        "<table>",
    ]
    pieces = list(dict.fromkeys([*head, *(f"<0x{byte:02X}>" for byte in range(256)), *learnt]))
    special = {"<pad>", "<eos>", "<bos>", "<unk>", "<mask>"}
    added = [_token(i, name, name in special, name == "<mask>") for i, name in enumerate(head)]
    added = [token | {"normalized": False} for token in added]
    return _files(
        backend,
        {
            "model": {
                "vocab": _ids(pieces), "merges": merges, "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>",
            },
            "added_tokens": added,
            "post_processor": template("<bos>", 2, "<eos>", 1, 1),
        },
        {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "pad", "mask", "unk")},
    )  # fmt: skip


@functools.cache
def nomic_bert() -> dict[str, bytes]:
    """NomicBERT's: bert-base-uncased's WordPiece."""
    letters = sorted({c for line in NASTY for c in line.lower() if c.isalnum() and c.isascii()} | {*".,:?!()'"})
    pieces = [*samples.FIVE, "[unused0]", *letters, *(f"##{c}" for c in letters if c.isalnum()), "the", "cat"]
    backend = tokenizers.Tokenizer(models.WordPiece(_ids(pieces), unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    added = [_token(i, name) for i, name in enumerate(samples.FIVE)]
    parts = {"model": {}, "added_tokens": added, "post_processor": template("[CLS]", 2, "[SEP]", 3, 1)}
    files = _files(backend, parts, {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    return files | {"vocab.txt": ("\n".join(pieces) + "\n").encode()}


KINDS = {"modern_bert": modern_bert, "euro_bert": euro_bert, "mm_bert": mm_bert, "nomic_bert": nomic_bert}
