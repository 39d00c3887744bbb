"""Trains vocabularies. The same text gives the same vocabulary, byte for byte, on any number of threads.

The WordPiece trainer of `tokenizers` numbers `##x` pieces in the order of a hash table of words, and breaks ties
between merges by these numbers, so its vocabularies differ from run to run. Its plain BPE trainer sorts its alphabet,
and is deterministic. So each word is spelt in an alphabet where "first letter x" and "later letter x" are different
characters. Plain BPE learns from that spelling, and its pieces are spelt back as `x` and `##x`.

The trainers of SentencePiece are deterministic on one thread, for a given order of the sentences.

Every vocabulary begins with `[PAD] [UNK] [CLS] [SEP] [MASK]`, followed by extra special tokens, reserved slots
`[unused0]`, `[unused1]`, …, and the learnt pieces.
"""

import collections
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import sentencepiece
import tokenizers

# Protobuf makes it at import.
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # pyrefly: ignore[missing-module-attribute]

from bert_jax.errors import TokenizerError
from bert_jax.tokenization.byte_level import BYTE_LETTERS, trained_document
from bert_jax.tokenization.frames import template
from bert_jax.tokenization.json_tokenizer import JsonTokenizer
from bert_jax.tokenization.normalisation import Normaliser, is_cjk, is_punctuation
from bert_jax.tokenization.sentence_piece import SentencePieceTokenizer
from bert_jax.tokenization.tokenizer import CLS, MASK, RESERVED, SEP, SPECIAL_TOKENS, without_surrogates
from bert_jax.tokenization.wordpiece import MAX_WORD_CHARACTERS, PREFIX, WordPieceTokenizer

# Two private planes of Unicode hold the two spellings of each letter. They cannot be confused with text, because every
# letter, private or not, is respelt.
FIRST, LATER = 0xF0000, 0x100000
# Merges are learnt from this many of the most frequent words, on counts scaled down to this many occurrences: the
# trainer reads each word as often as it occurs, and keeps each distinct word in memory.
MERGED_WORDS = 3_000_000
MERGED_OCCURRENCES = 1_000_000_000
REPEATS_PER_LINE = 10_000
# SentencePiece skips sentences with the sign that it writes for unknown pieces, so the sign is removed.
SIGN_OF_UNKNOWN = "▅"


def count_words(texts: Iterable[str], lowercase: bool, strip_accents: bool | None = None) -> collections.Counter[str]:
    """Counts words, splitting text as `WordPieceTokenizer` does with the same options."""
    strip_accents = lowercase if strip_accents is None else strip_accents
    words = Normaliser(lowercase, strip_accents, split_cjk=True).words
    return collections.Counter(itertools.chain.from_iterable(map(words, texts)))


def train_wordpiece(
    word_counts: collections.Counter[str],
    vocab_size: int,
    *,
    lowercase: bool,
    strip_accents: bool | None = None,
    character_coverage: float = 0.9995,
    special_tokens: Sequence[str] = (),
    reserved_slots: int = 0,
    min_count: int = 2,
) -> WordPieceTokenizer:
    """Learns pieces by byte-pair merges of the most frequent neighbours (Sennrich et al. 2016, as WordPiece).

    Args:
      word_counts: from `count_words`.
      vocab_size: the largest number of pieces, with special tokens and reserved slots; a small corpus gives fewer.
      lowercase: whether the words were lower-cased; stored with the tokenizer.
      strip_accents: whether their accents were removed, too; None: the same as `lowercase`.
      character_coverage: the most frequent characters that make up this share of the text become pieces; words with
        other characters are ignored.
      special_tokens: extra special tokens, which no text is encoded to.
      reserved_slots: the number of free places for pieces to be added later.
      min_count: merges that occur less often are not learnt.

    Raises:
      TokenizerError: there are no words, or no room for the special tokens and the alphabet.
    """
    head = _head(special_tokens, reserved_slots)
    alphabet = _alphabet(word_counts, character_coverage)
    # BERT makes each of these a word, so none is ever a later letter. For Chinese, this halves the alphabet.
    letters = [c for c in alphabet if not is_cjk(c) and not is_punctuation(c)]
    room, needed = vocab_size - len(head), len(alphabet) + len(letters)
    if not alphabet:
        raise TokenizerError("There is no text to train a vocabulary on: check the source.")
    if room < needed:
        raise TokenizerError(
            f"vocab_size={vocab_size} leaves no room for {needed} characters (first and later ones) besides {len(head)}"
            f" special pieces: use at least {needed + len(head)}, or a lower character_coverage."
        )
    code = {character: i for i, character in enumerate(alphabet)}
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    # The complete alphabet is included, so that any word of known characters has a spelling.
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=room,
        min_frequency=min_count,
        show_progress=False,
        initial_alphabet=[chr(FIRST + code[c]) for c in alphabet] + [chr(LATER + code[c]) for c in letters],
    )
    bpe.train_from_iterator(_spelt(word_counts, code), trainer)

    def respell(piece: str) -> str:
        text = "".join(alphabet[ord(c) - (LATER if ord(c) >= LATER else FIRST)] for c in piece)
        return text if ord(piece[0]) < LATER else PREFIX + text

    ids = bpe.get_vocab()
    learnt = [piece for piece in map(respell, sorted(ids, key=ids.__getitem__)) if piece not in special_tokens]
    return WordPieceTokenizer((*head, *learnt), lowercase, strip_accents, extra_special_tokens=special_tokens)


def train_sentencepiece(
    sentences: Iterable[str],
    vocab_size: int,
    *,
    model_type: Literal["unigram", "bpe"] = "unigram",
    lowercase: bool,
    character_coverage: float = 0.9995,
    special_tokens: Sequence[str] = (),
    reserved_slots: int = 0,
) -> SentencePieceTokenizer:
    """Learns a SentencePiece model, unigram (Kudo 2018) or BPE, on one thread and with all sentences in memory.

    Args:
      sentences: the text; the result depends on their order.
      vocab_size: the largest number of pieces, with special tokens and reserved slots; a small corpus gives fewer.
      model_type: unigram or BPE.
      lowercase: whether the model folds case (NFKC with case folding instead of NFKC alone).
      character_coverage: the most frequent characters that make up this share of the text become pieces.
      special_tokens: extra special tokens, which no text is encoded to.
      reserved_slots: the number of free places for pieces to be added later.

    Raises:
      TokenizerError: there is no text, or no room for the special tokens and the alphabet.
    """
    pad, unk, cls, sep, *others = _head(special_tokens, reserved_slots)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_plain(sentences),
            model_writer=model,
            model_type=model_type,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            character_coverage=character_coverage,
            normalization_rule_name="nmt_nfkc_cf" if lowercase else "nmt_nfkc",
            num_threads=1,  # the pieces of unigram depend on the number of threads
            max_sentence_length=1 << 30,  # bytes; longer ones are skipped
            split_digits=False,
            byte_fallback=False,
            minloglevel=2,
            **{"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3},
            **{"pad_piece": pad, "unk_piece": unk, "bos_piece": cls, "eos_piece": sep},
            control_symbols=others,
        )
    except RuntimeError as error:
        raise TokenizerError(_said(error, vocab_size)) from None
    proto = ModelProto.FromString(model.getvalue())
    return SentencePieceTokenizer(proto.SerializeToString(deterministic=True))


def train_byte_level(
    texts: Iterable[str],
    vocab_size: int,
    *,
    lowercase: bool = False,
    special_tokens: Sequence[str] = (),
    reserved_slots: int = 0,
    min_count: int = 2,
) -> JsonTokenizer:
    """Learns byte-level BPE (Radford et al. 2019). It spells any text: all bytes are pieces.

    Text is normalised to NFC, as for ModernBERT, and cut into words by `byte_level.WORDS`. The distinct words are held
    in memory, so that text without spaces takes some 100 bytes of memory a byte.

    Args:
      texts: the text; their order does not matter.
      vocab_size: the largest number of pieces, with special tokens and reserved slots; a small corpus gives fewer.
      lowercase: whether text is lower-cased.
      special_tokens: extra special tokens, which no text is encoded to.
      reserved_slots: the number of free places for pieces to be added later.
      min_count: merges that occur less often are not learnt.

    Raises:
      TokenizerError: there is no text, or no room for the special tokens and the bytes.
    """
    head = _head(special_tokens, reserved_slots)
    if vocab_size < (needed := len(head) + len(BYTE_LETTERS)):
        raise TokenizerError(
            f"vocab_size={vocab_size} leaves no room for {len(BYTE_LETTERS)} bytes besides {len(head)} special pieces:"
            f" use at least {needed}."
        )
    if short := [token for token in special_tokens if token in BYTE_LETTERS]:
        raise TokenizerError(f"The special token {short[0]} is a letter that a text needs: give it a longer name.")
    bpe = tokenizers.Tokenizer.from_str(json.dumps(trained_document({}, [], lowercase)))
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size - len(head),
        min_frequency=min_count,
        show_progress=False,
        initial_alphabet=list(BYTE_LETTERS),
    )
    nothing = True

    def told() -> Iterator[str]:
        nonlocal nothing
        for text in map(without_surrogates, texts):
            nothing = nothing and not text.strip()
            yield text

    bpe.train_from_iterator(told(), trainer)
    if nothing:
        raise TokenizerError("There is no text to train a vocabulary on: check the source.")
    model = json.loads(bpe.to_str())["model"]
    # A special token that is spelt like a piece takes its place: no merge may lead to it.
    special = {*SPECIAL_TOKENS, *special_tokens}
    learnt = [piece for piece in sorted(model["vocab"], key=model["vocab"].__getitem__) if piece not in special]
    merges = [pair for pair in model["merges"] if special.isdisjoint((*pair, "".join(pair)))]
    ids = {piece: i for i, piece in enumerate([*head, *learnt])}
    flags = dict.fromkeys(("single_word", "rstrip", "normalized"), False)
    # The mask replaces a word and the space before it.
    added = [
        {"id": ids[name], "content": name, **flags, "lstrip": name == MASK, "special": True}
        for name in (*SPECIAL_TOKENS, *special_tokens)
    ]
    frame = template(CLS, ids[CLS], SEP, ids[SEP], separators=1)
    document = trained_document(ids, merges, lowercase, added_tokens=added, post_processor=frame)
    return JsonTokenizer(document, list(ids))


def _head(special_tokens: Sequence[str], reserved_slots: int) -> list[str]:
    """The pieces that every vocabulary begins with."""
    for i, token in enumerate(special_tokens):
        if token.split() != [token] or not token.isprintable():
            raise TokenizerError(f"The special token {token!r} is empty or contains a space: give it another name.")
        if token in SPECIAL_TOKENS or token in special_tokens[:i] or RESERVED.fullmatch(token):
            raise TokenizerError(f"The special token {token} is already in the vocabulary: leave it out.")
    return [*SPECIAL_TOKENS, *special_tokens, *(f"[unused{i}]" for i in range(reserved_slots))]


def _alphabet(word_counts: collections.Counter[str], coverage: float) -> list[str]:
    """The sorted list of the most frequent characters that make up the share `coverage` of the text."""
    counts = collections.Counter()
    for word, count in word_counts.items():
        for character in word:
            counts[character] += count
    by_frequency = sorted(counts, key=lambda c: (-counts[c], c))
    enough, covered = coverage * counts.total(), itertools.accumulate(counts[c] for c in by_frequency)
    # A character is included if those before it cover too little.
    return sorted(c for c, total in zip(by_frequency, covered, strict=True) if total - counts[c] < enough)


def _spelt(word_counts: collections.Counter[str], code: dict[str, int]) -> Iterator[str]:
    """Yields lines of words in the private alphabet, with each word repeated by its count."""
    chosen = [w for w in word_counts if len(w) <= MAX_WORD_CHARACTERS and all(c in code for c in w)]
    chosen = sorted(sorted(chosen, key=lambda word: (-word_counts[word], word))[:MERGED_WORDS])
    scale = -(-sum(word_counts[word] for word in chosen) // MERGED_OCCURRENCES)
    for word in chosen:
        spelling = chr(FIRST + code[word[0]]) + "".join(chr(LATER + code[c]) for c in word[1:])
        full, rest = divmod(word_counts[word] // scale, REPEATS_PER_LINE)
        for repeats in [REPEATS_PER_LINE] * full + [rest]:
            yield " ".join([spelling] * repeats)


def _plain(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in sentences:
        yield without_surrogates(sentence).replace(SIGN_OF_UNKNOWN, " ").replace("\0", " ")


def _said(error: RuntimeError, vocab_size: int) -> str:
    """Translates the usual errors of the trainer, which are lines of C++, into error messages."""
    reason = str(error)
    if needed := re.search(r"smaller than required_chars\. \d+ vs (\d+)", reason):
        return (
            f"vocab_size={vocab_size} leaves no room for the characters and the special pieces: use at least"
            f" {needed[1]}, or a lower character_coverage."
        )
    if "!sentences_.empty()" in reason or "(all_chars_count) > (0)" in reason:
        return "There is no text to train a vocabulary on: check the source."
    return f"SentencePiece cannot train on this text ({reason}): check the source."
