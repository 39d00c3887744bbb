"""Rows of named values, and sentences with tags, from files of any common form."""

from bert_jax.data.tables.columns import (
    Columns,
    choice_columns,
    document_columns,
    passage_columns,
    related_columns,
    text_columns,
    token_columns,
    with_roles,
)
from bert_jax.data.tables.record import Record
from bert_jax.data.tables.squad import read_questions
from bert_jax.data.tables.tables import form_problem, read_table
from bert_jax.data.tables.tagged import read_tagged, tagged_columns, tagged_problem

__all__ = [
    "Columns",
    "Record",
    "choice_columns",
    "document_columns",
    "form_problem",
    "passage_columns",
    "read_questions",
    "read_table",
    "read_tagged",
    "related_columns",
    "tagged_columns",
    "tagged_problem",
    "text_columns",
    "token_columns",
    "with_roles",
]
