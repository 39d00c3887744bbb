"""Training a WordPiece vocabulary: the same word counts give the same vocabulary, byte for byte.

The `tokenizers` WordPiece trainer numbers `##x` pieces in the order in which it meets words in a hash table, and
breaks ties between merges by those numbers: its vocabularies differ from run to run. Its plain BPE trainer sorts its
alphabet and is exact. So each word is spelt in an alphabet where "first letter x" and "later letter x" are two
different characters; plain BPE learns on that spelling, and the pieces are spelt back as `x` and `##x`.
"""

import collections
from collections.abc import Iterable, Iterator

import tokenizers

from bert_jax.errors import TokenizerError
from bert_jax.tokenization.tokenizer import MAX_WORD_CHARACTERS, SPECIAL_TOKENS, WordPieceTokenizer, normalizer

# Two private planes of Unicode hold the two spellings of each letter; text itself cannot be confused with them,
# because every letter, private or not, is respelt.
FIRST, LATER = 0xF0000, 0x100000
REPEATS_PER_LINE = 10_000


def count_words(texts: Iterable[str], lowercase: bool) -> collections.Counter[str]:
    """How often each word occurs, after BERT's normalisation and its split at spaces and punctuation."""
    normalize = normalizer(lowercase).normalize_str
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    rough = collections.Counter()
    for text in texts:
        rough.update(normalize(text).split())
    words = collections.Counter()
    for chunk, count in rough.items():  # the exact split runs once for each distinct chunk: it is the slow part
        for word, _ in split(chunk):
            words[word] += count
    return words


def train_wordpiece(
    word_counts: collections.Counter[str],
    vocab_size: int,
    *,
    lowercase: bool = True,
    alphabet_size: int = 1000,
    min_count: int = 2,
) -> WordPieceTokenizer:
    """Learns pieces by byte-pair merges of the most frequent neighbours (Sennrich et al. 2016, as WordPiece).

    Args:
      word_counts: from `count_words`.
      vocab_size: pieces at most, special tokens included; a small corpus gives fewer.
      lowercase: how the words were normalised; kept with the tokenizer.
      alphabet_size: the most frequent characters that become pieces; words with others are left out.
      min_count: a merge seen less often is not learnt.

    Raises:
      TokenizerError: no words, or no room for the special tokens and the alphabet.
    """
    characters = collections.Counter()
    for word, count in word_counts.items():
        for character in word:
            characters[character] += count
    by_frequency = sorted(characters, key=lambda c: (-characters[c], c))
    alphabet = sorted(by_frequency[:alphabet_size])
    room = vocab_size - len(SPECIAL_TOKENS)
    if not alphabet:
        raise TokenizerError("There is no text to train a vocabulary on: check the source.")
    if room < 2 * len(alphabet):
        raise TokenizerError(
            f"vocab_size={vocab_size} leaves no room for {len(alphabet)} characters, each as a first and as a later"
            f" piece: use at least {2 * len(alphabet) + len(SPECIAL_TOKENS)}."
        )
    code = {character: i for i, character in enumerate(alphabet)}

    def spelt() -> Iterator[str]:
        for word in sorted(word_counts):
            if len(word) <= MAX_WORD_CHARACTERS and all(c in code for c in word):
                spelling = chr(FIRST + code[word[0]]) + "".join(chr(LATER + code[c]) for c in word[1:])
                full, rest = divmod(word_counts[word], REPEATS_PER_LINE)
                for repeats in [REPEATS_PER_LINE] * full + [rest]:
                    yield " ".join([spelling] * repeats)

    def respell(piece: str) -> str:
        letters = "".join(alphabet[ord(c) - (LATER if ord(c) >= LATER else FIRST)] for c in piece)
        return letters if ord(piece[0]) < LATER else "##" + letters

    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    # The complete alphabet goes in, so that any word of known characters has a spelling.
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=room,
        min_frequency=min_count,
        show_progress=False,
        initial_alphabet=[chr(base + i) for base in (FIRST, LATER) for i in range(len(alphabet))],
    )
    bpe.train_from_iterator(spelt(), trainer)
    ids = bpe.get_vocab()
    return WordPieceTokenizer((*SPECIAL_TOKENS, *map(respell, sorted(ids, key=ids.get))), lowercase)
