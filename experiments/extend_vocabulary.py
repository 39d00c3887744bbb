"""Gives a trained model more words, or a whole new vocabulary, to go on from.

    python -m experiments.extend_vocabulary --model=runs/wiki --output=models/wiki_more --words=words.txt
    python -m experiments.extend_vocabulary --model=runs/wiki --output=models/wiki_more \\
        --corpus=corpora/domain --num_words=1000
    python -m experiments.extend_vocabulary --model=runs/wiki --output=models/wiki_new \\
        --vocabulary=corpora/domain/tokenizer

New rows of the word table, and of the output bias, start from the mean of the rows of their old pieces. OUTPUT is a
model for train.init_from; prepare corpora for it with --tokenizer=OUTPUT/tokenizer. See docs/use.md.
"""

from absl import flags

import bert_jax
from bert_jax.corpus.store import open_corpus
from bert_jax.corpus.words import frequent_words
from bert_jax.errors import ConfigError
from bert_jax.tokenization import Tokenizer, load_tokenizer
from bert_jax.tokenization.extension import add_words
from bert_jax.vocabulary import Refitting
from experiments import sentences
from experiments.lines import read_lines

_MODEL = flags.DEFINE_string(
    "model", None, "A run, a checkpoint, or a folder of Hugging Face or Google.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The folder to create.", required=True)
_WORDS = flags.DEFINE_string("words", None, "Words to add: a text file, one on each line.")
_CORPUS = flags.DEFINE_string("corpus", None, "Add the most frequent words of this corpus that take several pieces.")
_NUM_WORDS = flags.DEFINE_integer("num_words", 1000, "With --corpus: the number of words to add.", lower_bound=1)
_VOCABULARY = flags.DEFINE_string(
    "vocabulary", None, "The whole new vocabulary: a file or folder, such as tokenizer/ of a prepared corpus."
)


def main(_: list[str]) -> None:
    given = [flag for flag in (_WORDS, _CORPUS, _VOCABULARY) if flag.value]
    if len(given) != 1:
        raise ConfigError("Give one of --words, --corpus and --vocabulary.")
    if flags.FLAGS["num_words"].present and not _CORPUS.value:
        raise ConfigError("--num_words has no effect without --corpus: leave it out.")
    model = bert_jax.load(_MODEL.value)
    refitting = Refitting.between(model.tokenizer, _new_tokenizer(model.tokenizer))
    model = refitting.apply(model)
    model.save_checkpoint(_OUTPUT.value)
    print(refitting.describe())
    print(f"{model!r} is in {_OUTPUT.value}")
    print(f"Prepare corpora for it with --tokenizer={_OUTPUT.value.rstrip('/')}/tokenizer.")


def _new_tokenizer(old: Tokenizer) -> Tokenizer:
    if _VOCABULARY.value:
        return load_tokenizer(_VOCABULARY.value)
    if _CORPUS.value:
        words = frequent_words(open_corpus(_CORPUS.value), old, _NUM_WORDS.value)
    else:
        words = [word for line in read_lines(_WORDS.value) if (word := line.strip())]
    new = add_words(old, words)
    if new.vocab_size == old.vocab_size:
        raise ConfigError(f"Each of these {len(words):,} words is one piece already: there is nothing to add.")
    return new


if __name__ == "__main__":
    sentences.run(main)
