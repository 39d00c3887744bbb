"""Builds a corpus from text: sentences, a vocabulary, token ids, held-out documents, a manifest.

python -m experiments.prepare_corpus --source='jsonl:articles/*.jsonl' --output=corpora/articles --vocab_size=8192
python -m experiments.prepare_corpus --source='de=jsonl[text=body,lang=de]:data/de/*.jsonl.gz' \\
  --source='en=parquet:data/en/**/*.parquet' --tokenizer=sentencepiece --deduplicate=paragraphs --output=corpora/two
python -m experiments.prepare_corpus --source='jsonl:web/*.jsonl' --tokenizer=bpe --vocab_size=50368 \\
  --output=corpora/web
python -m experiments.prepare_corpus --source=tfds:wikipedia/20230601.simple --tokenizer=bert/vocab.txt \\
  --output=gs://bucket/corpora/simple

See docs/corpora.md for details.
"""

import signal
import sys

from absl import flags

from bert_jax.corpus.builder import job
from bert_jax.corpus.builder.job import Options
from bert_jax.corpus.builder.prepare import prepare_corpus
from experiments import sentences

_SOURCE = flags.DEFINE_multi_string(
    "source",
    None,
    "[NAME=]KIND[key=value,…][:PATTERN]: docstrings, text:GLOB, jsonl:GLOB, csv:GLOB, tsv:GLOB, parquet:GLOB or"
    " tfds:NAME[:SPLIT]; keys are text, id and lang_field (fields of a record), lang, documents (of plain text:"
    " blank_lines, lines or files), header, delimiter and quotes (of csv and tsv), and encoding (of files that are not"
    " UTF-8). Repeat the flag for several sources.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The folder to create, local or in a bucket.", required=True)
_TOKENIZER = flags.DEFINE_string(
    "tokenizer",
    Options.tokenizer,
    f"{', '.join(job.TRAINED)}: train a vocabulary (bpe: of bytes, which spells any text); otherwise, the file or"
    " folder of an existing one.",
)
_VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size", Options.vocab_size, "Number of pieces in a trained vocabulary.", lower_bound=8
)
_LOWERCASE = flags.DEFINE_bool(
    "lowercase", Options.lowercase, "Train an uncased vocabulary. By default, all are but bpe."
)
_STRIP_ACCENTS = flags.DEFINE_bool(
    "strip_accents",
    Options.strip_accents,
    "Remove accents in a trained WordPiece vocabulary. By default, an uncased one does, as BERT's, unless the first"
    " documents have a script whose marks are letters, as in Hindi, Thai, Arabic, Japanese and Korean.",
)
_COVERAGE = flags.DEFINE_float(
    "character_coverage",
    Options.character_coverage,
    "Share of the text whose characters the vocabulary can spell; not for bpe.",
)
_SPECIAL = flags.DEFINE_list("special_tokens", [], "Extra special tokens of a trained vocabulary, separated by commas.")
_RESERVED = flags.DEFINE_integer(
    "reserved_slots",
    Options.reserved_slots,
    "Free places in a trained vocabulary, for pieces to be added later.",
    lower_bound=0,
)
_SOURCE_EXPONENT = flags.DEFINE_float(
    "source_exponent",
    Options.source_exponent,
    "A source's share of the text that the vocabulary is trained on ~ size ** exponent, as data.source_exponent in"
    " training: give both the same value. 1: by size, 0.7: as in multilingual BERT, 0: all equal.",
)
_LANGUAGE = flags.DEFINE_string(
    "language", Options.language, "Language code for sentence splitting if neither a document nor its source names one."
)
_VALIDATION = flags.DEFINE_float(
    "validation_fraction",
    Options.validation_fraction,
    "Share of documents to hold out (docstrings hold out whole packages instead).",
)
_DEDUPLICATE = flags.DEFINE_enum(
    "deduplicate", Options.deduplicate, job.DEDUPLICATE, "Drop documents or paragraphs that occurred before."
)
_WORKERS = flags.DEFINE_integer(
    "num_workers", 0, "Number of processes; 0: one per processor.", lower_bound=0, upper_bound=1024
)
_ALLOW_LOSSY_TEXT = flags.DEFINE_bool(
    "allow_lossy_text",
    False,
    "Build a corpus even if much more text than usual is unknown to the vocabulary or cannot be read, with a warning.",
)


def main(_: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _stop)
    prepare_corpus(
        _SOURCE.value,
        _OUTPUT.value,
        tokenizer=_TOKENIZER.value,
        vocab_size=_VOCAB_SIZE.value,
        lowercase=_LOWERCASE.value,
        strip_accents=_STRIP_ACCENTS.value,
        character_coverage=_COVERAGE.value,
        special_tokens=tuple(_SPECIAL.value),
        reserved_slots=_RESERVED.value,
        source_exponent=_SOURCE_EXPONENT.value,
        language=_LANGUAGE.value,
        validation_fraction=_VALIDATION.value,
        deduplicate=_DEDUPLICATE.value,
        num_workers=_WORKERS.value,
        allow_lossy_text=_ALLOW_LOSSY_TEXT.value,
    )


def _stop(number: int, _) -> None:
    print("Stopped. The same command resumes: it keeps the parts that are finished.", file=sys.stderr)
    sys.exit(128 + number)


if __name__ == "__main__":
    sentences.run(main)
