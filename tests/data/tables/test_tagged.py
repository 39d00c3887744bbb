import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from bert_jax.data.tables import read_tagged, tagged_columns, tagged_problem
from bert_jax.errors import CorpusError


def write(folder, name, content):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def read(path, *columns, **options):
    """The tokens and tags of each sentence with the end of its place."""
    records = read_tagged(path, *columns, **options)
    return [(r.values["tokens"], r.values.get("tags"), r.where.rpartition(", ")[2]) for r in records]


TWO = [(["EU", "rejects"], ["B-ORG", "O"], "line 1"), (["#", "a b", ""], ["O", "O", "O"], "line 4")]


@pytest.mark.parametrize("name", ["a.conll", "a.iob2", "a.bio", "a.txt", "a.tsv", "a.conll.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_empty_lines_separate_sentences(tmp_path, name, end):
    content = "EU\tB-ORG\nrejects\tO\n\n#\tO\na b\tO\n\tO".replace("\n", end).encode()
    assert read(write(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)) == TWO


def test_the_last_column_is_the_tag_or_another_by_its_number(tmp_path):
    content = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\n-DOCSTART- -X- O O\n\n# # I-NP O\n"
    file = write(tmp_path, "a.conll", content)
    assert read(file) == [(["EU", "rejects"], ["I-ORG", "O"], "line 3"), (["#"], ["O"], "line 8")]
    assert read(file, "", "2")[0][1] == ["NNP", "VBZ"]
    assert read(file, "2", "3")[0] == (["NNP", "VBZ"], ["I-NP", "I-VP"], "line 3")
    assert tagged_columns(file).line == "columns      tokens=1, tags=4 (guessed from 1, 2, 3, 4)"
    assert tagged_columns(file, "1", "2").line == "columns      tokens=1, tags=2"


@pytest.mark.parametrize("mark", [" ", "\t"])
def test_a_comment_is_told_from_a_token_by_its_columns(tmp_path, mark):
    content = f"# a comment of words\n# O\n\n#{mark}O\nis{mark}O\n#{mark}B-X\n"
    if mark == "\t":
        assert read(write(tmp_path, "a.conll", content)) == [(["#", "is", "#"], ["O", "O", "B-X"], "line 4")]
    else:
        expected = [(["#"], ["O"], "line 2"), (["#", "is", "#"], ["O", "O", "B-X"], "line 4")]
        assert read(write(tmp_path, "a.conll", content)) == expected


def test_only_tabs_and_blanks_separate(tmp_path):
    content = "a\u00a0b  O\n\u3000 B-X\n\u200b O\n"
    assert read(write(tmp_path, "a.txt", content)) == [
        (["a\u00a0b", "\u3000", "\u200b"], ["O", "B-X", "O"], "line 1"),
    ]


CONLL_U = """# sent_id = 1
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\tV\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tP\t_\t1\tobj\t_\t_
2.1\tnada\t_\t_\t_\t_\t_\t_\t_\t_

# text = sí
1\tsí\tsí\tINTJ\tI\t_\t0\troot\t_\tSpaceAfter=No
"""


def test_conll_u_has_form_and_upos_or_another_by_name(tmp_path):
    file = write(tmp_path, "a.conllu", CONLL_U)
    assert read(file) == [(["vamos", "nos"], ["VERB", "PRON"], "line 4"), (["sí"], ["INTJ"], "line 9")]
    assert read(file, "lemma", "XPOS")[0] == (["ir", "nosotros"], ["V", "P"], "line 4")
    assert tagged_columns(file).line.startswith("columns      tokens=FORM, tags=UPOS (guessed from ID, FORM, LEMMA")


def test_a_header_names_the_columns(tmp_path):
    file = write(tmp_path, "a.tsv", "Token\tPOS\tNER_tag\nEU\tNNP\tB-ORG\n\nword\tNN\tO\n")
    assert read(file) == [(["EU"], ["B-ORG"], "line 2"), (["word"], ["O"], "line 4")]
    assert read(file, "", "pos")[0][1] == ["NNP"]
    assert read(write(tmp_path, "a.tsv", "word\tO\nlabel\tO\n"))[0][0] == ["word", "label"]


def test_tokens_may_have_no_tags_where_none_are_needed(tmp_path):
    file = write(tmp_path, "a.txt", "EU\nrejects\n\n#\n")
    assert read(file, has_tags=False) == [(["EU", "rejects"], None, "line 1"), (["#"], None, "line 4")]
    with pytest.raises(CorpusError, match="line 1: tokens and tags are in the same column, the first of 1"):
        read(file)
    assert read(write(tmp_path, "a.jsonl", '{"words": ["EU"]}'), has_tags=False) == [(["EU"], None, "line 1")]


def test_lists_in_tables_give_the_same(tmp_path):
    rows = [{"id": i, "tokens": tokens, "ner_tags": tags} for i, (tokens, tags, _) in enumerate(TWO)]
    file = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [sentence[:2] for sentence in read(file)] == [sentence[:2] for sentence in TWO]
    assert tagged_columns(file).line == "columns      tokens=tokens, tags=ner_tags (guessed from id, tokens, ner_tags)"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert [sentence[:2] for sentence in read(tmp_path / "a.parquet")] == [sentence[:2] for sentence in TWO]
    file = write(tmp_path, "b.jsonl", '{"words": ["a"], "pos": ["X"], "ner": [3]}')
    assert read(file, "", "ner") == [(["a"], ["3"], "line 1")]


def test_files_of_a_pattern_are_read_in_order(tmp_path):
    for name, content in (("1.conll", "a\tO"), ("2.jsonl", '{"tokens": ["b"], "tags": ["O"]}'), ("3.conll", "c\tO")):
        write(tmp_path, name, content)
    assert [tokens for tokens, *_ in read(f"{tmp_path}/*")] == [["a"], ["b"], ["c"]]
    write(tmp_path, "4.conll", "d\tNN\tO")
    with pytest.raises(CorpusError, match=r"4\.conll has the columns 1, 2, 3, but .*1\.conll has 1, 2: give them"):
        read(f"{tmp_path}/*")


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.conll", "", (), r"a\.conll has no sentences"),
        ("a.conll", "\n \n", (), r"a\.conll has no sentences"),
        ("a.tsv", "token\ttag\n\n", (), r"a\.tsv has no sentences"),
        ("a.conll", "a\tO\n\nb\n", (), r"a\.conll, line 3 has 1 column, but line 1 has 2: mend it"),
        ("a.conll", "a O\nb c O\n", (), r"line 2 has 3 columns, but line 1 has 2.*tabs if tokens hold blanks"),
        ("a.conll", "a\tO\nb\t\n", (), r"line 2 has the tag ''"),
        ("a.tsv", "tokens\ttags\nEU rejects\tB-ORG O\n", (), r"line 2 has the tag 'B-ORG O': give each token a line"),
        ("a.conll", "a\tO\n", ("", "3"), r"line 1 has no column '3', only 1, 2: correct data\.tag_column"),
        ("a.conll", "a\tO\n", ("1", "1"), r"tokens and tags are in the same column"),
        ("a.conllu", CONLL_U, ("", "UPPOS"), r"only ID, .*data\.tag_column\. Did you mean UPOS\?"),
        ("a.conllu", CONLL_U + "x" + "\t_" * 9, (), r"line 10 has the ID 'x', which CoNLL-U does not have"),
        ("a.conll", b"a\tO\n\xe9\tO\n", (), r"line 2 is not UTF-8"),
        ("a.csv", "a,O\n", (), r"a\.csv has the ending '\.csv', which is none of \.conll"),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', (), r"line 1 has 2 tokens, but 1 tags"),
        ("a.jsonl", '{"tokens": ["a"], "tags": [null]}', (), r"line 1: 'tags' is no list of tags"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n{"tokens": "a"}', (), r"line 2: 'tokens' is no list of tokens"),
        (
            "a.jsonl",
            '{"tokens": ["a"], "pos": ["X"], "ner": ["O"]}',
            (),
            r"'pos' or 'ner' may be the tag.*data\.tag",
        ),
        ("a.jsonl", '{"text": "a", "label": "x"}', (), r"no column has a name that is usual for the token"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, content, columns, message):
    with pytest.raises(CorpusError, match=message):
        read(write(tmp_path, name, content), *columns)


def test_forms_are_told_by_names_alone():
    assert tagged_problem("data.train", "x.conllu.gz") == tagged_problem("data.train", "tfds:conll2003:train") == []
    assert tagged_problem("data.train", "x.csv")[0].startswith("data.train=x.csv has the ending '.csv', which is none")
