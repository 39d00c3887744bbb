"""Tags of files: told, checked, converted, repaired, and refused with their place."""

import json

import pytest

from bert_jax.data.tagged_files import (
    TaggedTextsConfig,
    describe_tags,
    learned_tags,
    read_sentences,
    tag_ids,
    tag_names,
    tell_scheme,
)
from bert_jax.errors import CorpusError
from bert_jax.objectives.tags import BARE, BILOU, BIOES, IOB1, IOB2

IOB1_TAGS = ["I-MISC", "B-MISC", "I-MISC", "O", "I-PER", "I-LOC"]
IN_IOB2 = ["B-MISC", "B-MISC", "I-MISC", "O", "B-PER", "B-LOC"]
IN_BIOES = ["S-MISC", "B-MISC", "E-MISC", "O", "S-PER", "S-LOC"]


@pytest.fixture
def write(tmp_path):
    def write(*sentences, name="train.conll"):
        text = "\n".join("".join(f"w{i}\t{tag}\n" for i, tag in enumerate(tags)) for tags in sentences)
        (tmp_path / name).write_text(text)
        return f"{tmp_path}/{name}"

    return write


def read(path, **settings):
    """The sentences of a file, and the config with the scheme that they have."""
    config, lines = TaggedTextsConfig(**settings), []
    found = list(read_sentences(path, config, lines))
    config.file_scheme = config.file_scheme or tell_scheme(found, path)
    return found, config, lines


@pytest.mark.parametrize(("target", "expected"), [(None, IOB1_TAGS), (IOB2, IN_IOB2), (BIOES, IN_BIOES)])
def test_tags_are_written_in_the_scheme_that_is_learned(write, target, expected):
    found, config, lines = read(write(IOB1_TAGS, ["O", "I-PER"]), scheme=target)
    assert config.file_scheme == IOB1
    assert learned_tags(found, config, "train", lines)[0] == expected


def test_a_broken_rule_is_refused_with_its_place_or_repaired_and_counted(write):
    path = write(["B-PER", "O"], ["O", "I-PER", "B-LOC"])
    found, config, lines = read(path)
    with pytest.raises(CorpusError, match=r"train\.conll, line 4, word 2 \('w1'\) is not iob2: I-PER follows O: .*rep"):
        learned_tags(found, config, "train", lines)
    config.repair = True
    assert learned_tags(found, config, "train", lines)[1] == ["O", "B-PER", "B-LOC"]
    assert lines[-1] == "repaired     1 train tags that break the rules of iob2"


def test_the_first_of_several_faults_is_told(write):
    found, config, _ = read(write(["B-PER", "I-LOC"], ["I-PER"], ["B-PER", "B-PER", "B-LOC"]))
    with pytest.raises(CorpusError, match=r"line 1, word 2.*I-LOC follows B-PER, the first of 2 such faults"):
        learned_tags(found, config, "train", [])


def test_a_file_in_another_scheme_than_the_training_file_is_refused(write):
    found, config, _ = read(write(IOB1_TAGS, name="dev.conll"), file_scheme=IOB2)
    with pytest.raises(CorpusError, match=r"dev\.conll, line 1, word 1 \('w0'\) is not iob2"):
        learned_tags(found, config, "validation", [])
    found, config, _ = read(write(IN_BIOES, name="dev.conll"), file_scheme=IOB2)
    with pytest.raises(CorpusError, match="S-MISC has a letter that iob2 does not have"):
        learned_tags(found, config, "validation", [])


def test_tags_that_mean_entities_but_cannot_be_read_are_refused_with_their_place(write):
    path = write(["O", "B-PER"], ["O", "b-LOC"])
    with pytest.raises(CorpusError, match=r"train\.conll, line 4, word 2 \('w1'\): the tag 'b-LOC' is neither O nor.*"):
        read(path)
    found, config, _ = read(path, file_scheme=BARE)
    assert learned_tags(found, config, "train", []) == [["O", "B-PER"], ["O", "b-LOC"]]
    found, config, _ = read(path, file_scheme=IOB2, repair=True)
    with pytest.raises(CorpusError, match=r"line 4, word 2 \('w1'\) is not iob2: 'b-LOC' is neither"):
        learned_tags(found, config, "train", [])


def test_types_without_letters_are_classes_and_this_is_told(write):
    found, config, _ = read(write(["ORGANIZATION", "O"], ["O"]))
    assert config.file_scheme == BARE
    written = learned_tags(found, config, "train", [])
    assert describe_tags(written, BARE, tag_names(found, BARE)) == "tags         2 tags: O 2, ORGANIZATION 1"


def test_the_tags_of_a_scheme_are_all_that_a_type_can_have(write):
    """So that a held-out entity of several words is no unknown tag where training had single words."""
    found, _, _ = read(write(["B-PER", "O", "B-LOC"]))
    assert tag_names(found, IOB2) == ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
    assert tag_names(found, BILOU) == [f"{letter}-{kind}" for letter in "BIL" for kind in ("LOC", "PER")] + [
        "O",
        "U-LOC",
        "U-PER",
    ]
    found, _, _ = read(write(list("OBIO")))
    assert tag_names(found, BIOES) == ["B", "E", "I", "O", "S"]
    found, _, _ = read(write(["NOUN", "DET"]))
    assert tag_names(found, BARE) == ["DET", "NOUN"]


def test_an_unknown_tag_is_refused_with_its_place(write):
    found, config, _ = read(write(["O"], ["B-LOC", "O"], ["O", "B-PRE"], name="dev.conll"))
    written = learned_tags(found, config, "validation", [])
    names = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
    expected = r"dev\.conll, line 6, word 2 \('w1'\): the tag 'B-PRE' does not occur .* Did you mean B-PER\?"
    with pytest.raises(CorpusError, match=expected):
        tag_ids(found, written, names)
    assert tag_ids(found[:2], written[:2], names) == [4, 0, 4]


def test_what_is_told_of_entities(write):
    found, config, _ = read(write(["B-PER", "I-PER", "B-LOC"], ["B-PER"]))
    told = describe_tags(learned_tags(found, config, "train", []), IOB2, tag_names(found, IOB2))
    assert told == "tags         iob2, 3 entities of 2 types: PER 2, LOC 1"


def test_new_texts_are_split_into_words(tmp_path, write):
    config = TaggedTextsConfig()
    (tmp_path / "new.txt").write_text("EU rejects.\n\nParis\n")
    found = list(read_sentences(tmp_path / "new.txt", config, [], False))
    assert [(one.text, one.words, one.tags) for one in found] == [
        ("EU rejects.", ("EU", "rejects", "."), None),
        ("", (), None),
        ("Paris", ("Paris",), None),
    ]
    (tmp_path / "new.jsonl").write_text(json.dumps({"id": 1, "text": "EU rejects."}) + "\n")
    (found,) = read_sentences(tmp_path / "new.jsonl", config, [], False)
    assert found.words == ("EU", "rejects", ".")
    (tmp_path / "other.jsonl").write_text(json.dumps({"wording": "EU rejects."}) + "\n")
    (found,) = read_sentences(tmp_path / "other.jsonl", TaggedTextsConfig(token_column="wording"), [], False)
    assert found.text == "EU rejects."
    (tmp_path / "lists.jsonl").write_text(json.dumps({"tokens": ["EU", "U.S."]}) + "\n")
    (found,) = read_sentences(tmp_path / "lists.jsonl", config, [], False)
    assert found.words == ("EU", "U.S.")
    assert found.text is None
    (found,) = read_sentences(write(["O", "B-PER"]), config, [], False)
    assert (found.words, found.tags) == (("w0", "w1"), None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tag_pieces": "last"}, "data.tag_pieces='last' is not one of first, all"),
        ({"scheme": "iob"}, "data.scheme='iob' is not one of"),
        ({"scheme": "iob2", "file_scheme": "bare"}, "bare tags mark no entities"),
        ({"window_overlap": 65}, "data.window_overlap=65 must lie between 0 and half of data.sequence_length=128"),
        ({"window_overlap": -1}, "data.window_overlap=-1 must lie between"),
        ({"train": "train.docx"}, "data.train=train.docx has the ending '.docx'"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    given = {"train": "a.conll", "validation": "b.conll"} | settings
    assert any(message in problem for problem in TaggedTextsConfig(**given).problems())


def test_the_defaults_have_no_problems():
    assert not TaggedTextsConfig(train="a.conll", validation="b.jsonl").problems()
