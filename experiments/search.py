"""Searches documents by meaning: those whose embeddings are nearest to that of a query, by cosine.

    python -m experiments.search --model=runs/embeddings --documents=articles.jsonl --query="Who wrote Faust?"

The search is exact. Documents are embedded once, and their vectors are kept beside the file in FILE.index, or in
--index; they are computed anew if the texts or the model have changed.
"""

from absl import flags

import bert_jax
from bert_jax.errors import ConfigError, counted
from bert_jax.search import default_folder, open_index, read_texts, search
from experiments import sentences
from experiments.lines import write_json_lines

_MODEL = flags.DEFINE_string("model", None, "A run, a checkpoint, or a folder of Hugging Face.", required=True)
_DOCUMENTS = flags.DEFINE_string(
    "documents", None, "A table of texts (.txt, .tsv, .csv, .jsonl, .parquet), or a pattern of files.", required=True
)
_COLUMN = flags.DEFINE_string("column", "", "The column of the documents' text; by default guessed.")
_INDEX = flags.DEFINE_string("index", None, "The folder of the documents' vectors; by default DOCUMENTS.index.")
_QUERY = flags.DEFINE_multi_string("query", [], "A query; may be given several times.")
_QUERIES = flags.DEFINE_string("queries", None, "A file of queries, of any form; .txt has one on each line.")
_TOP = flags.DEFINE_integer("top", 5, "How many documents to show for each query.", lower_bound=1)
_WIDTH = flags.DEFINE_integer("width", None, "How many numbers of each vector to use; by default all.")
_OUTPUT = flags.DEFINE_string("output", None, "A .jsonl file to write, in place of what is printed.")
SHOWN = 100  # characters of a document that are printed


def main(_: list[str]) -> None:
    if bool(_QUERY.value) == bool(_QUERIES.value):
        raise ConfigError("Give --query, as often as you like, or --queries, a file of them.")
    model, documents, column, width = bert_jax.load(_MODEL.value), _DOCUMENTS.value, _COLUMN.value, _WIDTH.value
    folder = _INDEX.value or default_folder(documents)
    index = open_index(model, documents, folder, column, width)
    state = "embedded just now" if index.is_new else "as they were embedded before"
    print(f"{counted(len(index.vectors), 'document')}, {state} ({folder})")
    queries = read_texts(_QUERIES.value) if _QUERIES.value else _QUERY.value
    found = search(model, index, documents, queries, _TOP.value, column, width)
    if _OUTPUT.value:
        rows = ({"query": query, "documents": [vars(hit) for hit in hits]} for query, hits in found)
        write_json_lines(_OUTPUT.value, rows)
        print(f"{_OUTPUT.value} has the documents of each query")
        return
    for query, hits in found:
        print(f"\n{query}")
        for hit in hits:
            text = " ".join(hit.text.split())
            print(f"  {hit.score:6.3f}  {hit.document:>8,}  {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}")


if __name__ == "__main__":
    sentences.run(main)
