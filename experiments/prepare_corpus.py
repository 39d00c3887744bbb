"""Makes a corpus from text: sentences, a vocabulary, token ids, held-out documents, a manifest.

python -m experiments.prepare_corpus --source='jsonl:articles/*.jsonl' --output=corpora/articles --vocab_size=8192
"""

from absl import app, flags

from bert_jax.data.prepare import Options, prepare_corpus
from experiments import sentences

_SOURCE = flags.DEFINE_multi_string(
    "source", None, "docstrings, text:GLOB or jsonl:GLOB; may be given several times.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The folder to make.", required=True)
_TOKENIZER = flags.DEFINE_string(
    "tokenizer", Options.tokenizer, "wordpiece trains a vocabulary; otherwise a vocab.txt or a folder that holds one."
)
_VOCAB_SIZE = flags.DEFINE_integer("vocab_size", Options.vocab_size, "Pieces of a trained vocabulary.", lower_bound=8)
_LOWERCASE = flags.DEFINE_bool("lowercase", Options.lowercase, "Train an uncased vocabulary.")
_LANGUAGE = flags.DEFINE_string(
    "language", Options.language, "Two-letter code for sentence splitting where a document does not name its own."
)
_VALIDATION = flags.DEFINE_float(
    "validation_fraction",
    Options.validation_fraction,
    "Share of documents to hold out (docstrings hold out whole packages instead).",
)
_DEDUPLICATE = flags.DEFINE_bool("deduplicate", Options.deduplicate, "Drop paragraphs that occurred before.")
_WORKERS = flags.DEFINE_integer("num_workers", 0, "Processes; 0 means one for each processor.", lower_bound=0)


def main(_):
    prepare_corpus(
        _SOURCE.value,
        _OUTPUT.value,
        tokenizer=_TOKENIZER.value,
        vocab_size=_VOCAB_SIZE.value,
        lowercase=_LOWERCASE.value,
        language=_LANGUAGE.value,
        validation_fraction=_VALIDATION.value,
        deduplicate=_DEDUPLICATE.value,
        num_workers=_WORKERS.value,
    )


if __name__ == "__main__":
    app.run(sentences.errors_as_sentences(main))
