"""What a build says about the text: its closing block, its warnings, and what it refuses."""

import json

import pytest

from bert_jax.corpus import summary
from bert_jax.corpus.builder import encoding, first_documents
from bert_jax.corpus.builder.losses import LossyTextError
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.errors import CorpusError
from tests.conftest import make_documents

OPTIONS = {"vocab_size": 300, "validation_fraction": 0.1, "num_workers": 1}
THAI = "ภาษาไทยไม่มีช่องว่างระหว่างคำ" * 12  # one word of more than 200 characters
HINDI = "वह हर दिन किताब पढ़ता है और पानी पीता है।"


def write(file, documents):
    file.write_text("\n\n".join(documents) + "\n")
    return f"text:{file}"


@pytest.fixture
def build(tmp_path):
    """Builds a corpus in `c`; returns it with the lines of progress."""

    def built(*specs, **options):
        lines = []
        opened = prepare_corpus(specs, tmp_path / "c", progress=lines.append, **OPTIONS | options)
        return opened, lines

    return built


def test_the_closing_block_has_a_line_for_each_source_and_examples_of_each_loss(build, tmp_path):
    documents = make_documents(120)
    documents[7] += "\nHere \0is a NUL.\nThe \u2603 end."
    documents[9] += "\n" + "the end " * 400 + "."
    good, odd = tmp_path / "good.txt", tmp_path / "odd.txt"
    write(good, documents)
    odd.write_bytes(("\n\n".join(make_documents(60, seed=4))).encode() + b"\nThis is \xff here.")
    opened, lines = build(f"text:{good}", f"text:{odd}", deduplicate="paragraphs")
    at = next(i for i, line in enumerate(lines) if "tokens/word" in line)
    head, *rows = (line.split() for line in lines[at : at + 3])
    assert head[:4] == ["source", "documents", "sentences", "tokens"]
    assert [row[0] for row in rows] == ["good", "odd"]
    for row, source in zip(rows, opened.manifest["sources"], strict=True):
        numbers = summary.numbers_of(source)
        assert row[1:4] == [f"{numbers[key]:,}" for key in ("documents", "sentences", "tokens")]
        assert numbers["words"] < numbers["tokens"] < 9 * numbers["words"]
    first, second = opened.manifest["sources"]
    assert first["counts"]["control_characters"] == 1
    assert second["counts"]["replaced_characters"] == 1
    assert first["sizes"]["over_512_tokens"] == first["counts"]["long_sentences"] == 1
    assert summary.numbers_of(first)["unknown_tokens"] == 1
    text = "\n".join(lines)
    assert "unknown tokens: 1, as in '\u2603' (good.txt:" in text
    assert "characters replaced by U+FFFD: 1, as in '" in text
    assert "This is \ufffd here." in text
    assert "control characters dropped: 1, as in '" in text
    assert "sentences over 512 tokens, stored in pieces: 1, as in 'the end the end" in text
    assert "repeated paragraphs dropped: " in text


@pytest.mark.parametrize(("count", "kind"), [(0, None), (40, "warning"), (2000, "refusal")])
def test_losses_are_judged_by_their_share(count, kind):
    numbers = {"tokens": 1000, "unknown_tokens": 0, "characters": 100_000, "replaced_characters": count}
    examples = {"replaced_characters": [{"document": "a:0", "text": "x\ufffd"}]}
    warnings, refusals = summary.problems("web", numbers, examples)
    assert (len(warnings), len(refusals)) == (kind == "warning", kind == "refusal")
    for line in warnings + refusals:
        assert line.startswith("web: ")
        assert "% of its characters are not valid UTF-8" in line
        assert "as in 'x\ufffd' (a:0)" in line


@pytest.mark.parametrize("given", [False, True])
def test_text_that_a_vocabulary_cannot_spell_is_refused_before_the_work(build, tmp_path, corpus_path, given):
    specs = write(tmp_path / "th.txt", [THAI] * 60), write(tmp_path / "en.txt", make_documents(60))
    options = {"tokenizer": f"{corpus_path}/tokenizer"} if given else {}
    with pytest.raises(LossyTextError, match=r"^th: 100 % of its tokens are unknown.*--allow_lossy_text\.$"):
        build(*specs, **options)
    assert not (tmp_path / "c").exists()
    opened, lines = build(*specs, allow_lossy_text=True, **options)
    assert summary.numbers_of(opened.manifest["sources"][0])["unknown_tokens"] == 60
    assert any(line.startswith("warning: th: 100 % of its tokens are unknown") for line in lines)
    assert not any(line.startswith("warning: en") for line in lines)


def test_sentencepiece_spells_text_without_spaces(build, tmp_path):
    opened, _ = build(write(tmp_path / "th.txt", [THAI] * 60), tokenizer="sentencepiece")
    assert summary.numbers_of(opened.manifest["sources"][0])["unknown_tokens"] == 0


def test_what_only_the_whole_text_shows_is_refused_at_the_end_and_the_work_is_kept(build, tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    file.write_bytes(
        "\n\n".join(make_documents(40)).encode() + b"\n\n" + b"\n\n".join([b"bad \xff\xff\xff text"] * 900)
    )
    monkeypatch.setattr(first_documents, "CHARACTERS", 1000)
    monkeypatch.setattr("bert_jax.files.opening.HEAD_BYTES", 1000)
    with pytest.raises(LossyTextError, match="are not valid UTF-8"):
        build(f"text:{file}")
    monkeypatch.setattr(encoding, "shards", None)  # nothing is encoded again
    opened, lines = build(f"text:{file}", allow_lossy_text=True)
    assert opened.manifest["text_policy_counts"]["replaced_characters"] == 2700
    assert not any("starting over" in line for line in lines)


def test_refusals_of_all_sources_are_given_at_once(build, tmp_path):
    specs = write(tmp_path / "th.txt", [THAI] * 60), write(tmp_path / "dna.txt", ["GATTACA" * 90] * 60)
    with pytest.raises(LossyTextError) as error:
        build(*specs)
    assert [line.split(":")[0] for line in str(error.value).split("\n")] == ["th", "dna"]


@pytest.mark.parametrize(
    ("options", "strips"),
    [({}, False), ({"strip_accents": True}, True), ({"lowercase": False}, False)],
)
def test_accents_stay_where_marks_are_letters(build, tmp_path, options, strips):
    opened, lines = build(write(tmp_path / "hi.txt", [f"{HINDI} {i}" for i in range(60)]), **options)
    assert opened.tokenizer.strip_accents == strips
    assert opened.manifest["options"]["strip_accents"] == options.get("strip_accents")
    decoded = opened.tokenizer.decode(opened.train.token_ids[: opened.train.sentence_starts[1]])
    assert ("पढ़ता" in decoded) != strips
    told = [line for line in lines if "letters" in line]
    assert len(told) == (options != {"lowercase": False})
    assert all(line.startswith("note: ") for line in told)


@pytest.mark.parametrize(("options", "strips"), [({}, True), ({"strip_accents": False}, False)])
def test_latin_script_loses_its_accents_as_in_bert_and_is_told(build, tmp_path, options, strips):
    opened, lines = build(write(tmp_path / "de.txt", [f"Größe und Maß, für alle {i}." for i in range(60)]), **options)
    assert opened.tokenizer.strip_accents == strips
    assert ("große" in opened.tokenizer.decode(opened.tokenizer.encode("Größe"))) == strips
    assert any("lose an accent" in line for line in lines) == strips


def test_accents_are_an_option_of_trained_wordpiece_alone(build, tmp_path):
    with pytest.raises(CorpusError, match="strip_accents is an option of a trained WordPiece vocabulary"):
        build("text:x", tokenizer="sentencepiece", strip_accents=True)


def test_whole_words_of_chinese_are_noted_to_be_characters(build, tmp_path):
    spec = write(tmp_path / "zh.txt", [f"今天天气很好，我们去公园散步。\n许多花鸟 {i}。" for i in range(60)])
    _, lines = build(spec)
    assert any(line.startswith("note: in zh, each Chinese character is a word") for line in lines)


def test_a_corpus_of_an_older_version_is_complete_and_has_no_remarks(build, tmp_path):
    spec = write(tmp_path / "a.txt", make_documents(60))
    opened, _ = build(spec)
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    for name in ("strip_accents", "source_exponent"):
        del manifest["options"][name]
    del manifest["notes"]
    for source in manifest["sources"]:
        for name in ("sizes", "counts", "examples"):
            del source[name]
        for totals in source["splits"].values():
            del totals["words"], totals["unknown_tokens"]
    (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest))
    again, lines = build(spec)
    assert again.fingerprint == opened.fingerprint
    assert "nothing to do" in lines[0]
    assert summary.remarks(again.manifest) == []
    assert summary.text_shares(again.manifest["sources"][0]) == ("", "")
