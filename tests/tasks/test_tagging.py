"""A tagger, from files to entities: on sentences in which some words are names."""

import copy
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from bert_jax import load
from bert_jax.data.word_pieces import cut_words
from bert_jax.errors import CheckpointError, CorpusError
from bert_jax.labelled_results import evaluate, predictions, write_predictions
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.entities import score_entities
from bert_jax.reporting import write_report
from bert_jax.tasks.tagging import Tagging, TaggingConfig
from bert_jax.training.run import prepare, run
from tests.tasks.test_pretraining import results

KIND = Tagging()
LONGEST = 24  # tokens in a row; some sentences are longer
OTHERS = ["zebra", "quokka"]  # of several pieces


def make_sentences(words, count, seed):
    """The first word is a person, the second a place, and the third belongs to a person or place before it."""
    rng = np.random.default_rng(seed)
    sentences = []
    for _ in range(count):
        length = int(rng.integers(1, 9) if rng.random() < 0.9 else rng.integers(30, 60))
        chosen = rng.choice([*words, *OTHERS], length, p=[0.1, 0.1, 0.1, *[0.7 / (len(words) - 1)] * (len(words) - 1)])
        tags = []
        for i, word in enumerate(chosen):
            kind = tags[i - 1][2:] if i else ""
            tag = {words[0]: "B-PER", words[1]: "B-LOC", words[2]: f"I-{kind}" if kind else "O"}.get(word, "O")
            tags.append(tag)
        sentences.append((chosen.tolist(), tags))
    return sentences


def write_sentences(file, sentences):
    file.write_text("\n".join("".join(f"{w}\t{t}\n" for w, t in zip(*one, strict=True)) for one in sentences))
    return str(file)


@pytest.fixture(scope="module")
def words(corpus):
    return [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:12]


@pytest.fixture(scope="module")
def made(words):
    return {name: make_sentences(words, count, count) for name, count in (("train", 300), ("validation", 60))}


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagged")
    for name, sentences in made.items():
        write_sentences(folder / f"{name}.conll", sentences)
    return folder


@pytest.fixture(scope="module")
def whole(files, corpus_path):
    """A run that learns."""
    config = TaggingConfig(
        model=ModelConfig(
            num_layers=1, hidden_size=32, num_heads=2, max_positions=64, initializer_range=0.2, dropout=0.0
        )
    )
    config.data.train, config.data.validation = f"{files}/train.conll", f"{files}/validation.conll"
    config.data.tokenizer, config.data.sequence_length = f"{corpus_path}/tokenizer", LONGEST
    config.data.max_examples = 4
    config.optimizer.learning_rate = 3e-3
    config.train.num_steps, config.train.batch_size, config.train.log_every = 60, 8, 20
    config.train.checkpoint_every = config.eval.every = 1000
    return config


@pytest.fixture
def settings(whole):
    """A run of seconds."""
    config = copy.deepcopy(whole)
    config.train.num_steps, config.train.checkpoint_every, config.eval.every = 8, 4, 6
    return config


@pytest.fixture(scope="module")
def workdir(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    run(KIND, copy.deepcopy(whole), folder)
    return folder


@pytest.fixture(scope="module")
def model(workdir):
    return load(workdir)


def test_it_learns_and_says_so_beside_the_majority(workdir):
    text = write_report(workdir)
    scores = json.loads((workdir / "predictions/scores.json").read_text())["scores"]["validation"]
    assert scores["label_majority_f1"] == 0
    assert scores["label_f1"] > 0.5
    assert 1 > scores["label_accuracy"] > scores["label_majority"] + 0.1
    for part in (
        *("entities, lenient F1", "word accuracy", "(majority)", "give one of 5 tags to each word of 300 sentences"),
        *(
            "| type | precision | recall | F1 | support | predicted |",
            "The most frequent confusions",
            "have a wrong tag",
        ),
    ):
        assert part in text, part


def test_what_is_told_at_the_start(settings):
    lines = prepare(KIND, settings).task.stream.describe(8)
    found = {line.split()[0]: line for line in lines}
    assert found["tags"].startswith("tags         iob2, ")
    assert "train sentences" in found["windows"] or "validation sentences" in found["windows"]
    assert sum(line.startswith("windows") for line in lines) == 2


def tag_by_hand(model, sentence):
    """The tags of a sentence: every window by itself, and for each word that where it has most context."""
    length = [len(model.tokenizer.encode(word)) for word in sentence]
    overlap, room, first = LONGEST // 4, LONGEST - 2, 0
    best = [(-1, "")] * len(sentence)
    while True:
        end = max(i for i in range(first, len(sentence) + 1) if sum(length[first:i]) <= room)
        (tagged,) = model.tag_words([sentence[first:end]])
        for i, (tag, _) in enumerate(tagged, first):
            context = min(sum(length[first:i]), sum(length[i + 1 : end]))
            best[i] = max(best[i], (context, tag), key=lambda one: one[0])
        if end == len(sentence):
            return [tag for _, tag in best]
        starts = range(first + 1, end + 1)
        first = min(
            i for i in starts if sum(length[i:end]) <= overlap and sum(length[i:end]) + length[end] <= room
        )  # fmt: skip


@pytest.fixture(scope="module")
def confused(model):
    """The model with noise in its parameters: its tags depend on the context, and break the rules of their scheme."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + rng.normal(0, 0.6, x.shape).astype(np.float32), model.params)
    return dataclasses.replace(model, params=params)


def test_windows_give_what_whole_sentences_are_scored_by(confused, made, files):
    model = confused
    gold = [tags for _, tags in made["validation"]]
    sentences = [sentence for sentence, _ in made["validation"]]
    said = [tag_by_hand(model, sentence) for sentence in sentences]
    assert cut_words(sentences, model.tokenizer, LONGEST, LONGEST // 4).num_windowed > 3
    assert any(tags[0].startswith("I-") for tags in said)  # the next sentence is no part of this one
    cut_at_ends = [[tag for tag, _ in one] for one in model.tag_words([one[: LONGEST // 3] for one in sentences])]
    assert any(one != other[: len(one)] for one, other in zip(cut_at_ends, said, strict=True))  # context matters
    assert [[tag for tag, _ in one] for one in model.tag_words(sentences)] == said
    expected = score_entities(gold, said).micro
    found = evaluate(model, f"{files}/validation.conll")
    assert found["label_f1"] == pytest.approx(expected.f1, abs=1e-12)
    assert found["label_precision"] == pytest.approx(expected.precision, abs=1e-12)
    assert found["label_recall"] == pytest.approx(expected.recall, abs=1e-12)
    right = [a == b for one, other in zip(gold, said, strict=True) for a, b in zip(one, other, strict=True)]
    assert found["label_accuracy"] == pytest.approx(np.mean(right), rel=1e-6)


def test_packing_changes_no_score(confused, files):
    packed = evaluate(confused, f"{files}/validation.conll")
    alone = dataclasses.replace(confused, run=copy.deepcopy(confused.run))
    alone.run.data.max_examples = 1
    assert evaluate(alone, f"{files}/validation.conll") == pytest.approx(packed, rel=1e-5)


@pytest.mark.parametrize("pieces", ["first", "all"])
def test_each_word_weighs_the_same_in_the_loss(settings, made, pieces):
    settings.data.tag_pieces = pieces
    task = prepare(KIND, settings).task
    steps = int(np.ceil(len(task.stream.rows) / settings.train.batch_size))
    epoch = [task.stream.batch(step) for step in range(steps)]
    rows = len(task.stream.rows)
    weights, numbers = (np.concatenate([batch[name] for batch in epoch])[:rows] for name in
                        ("label_weights", "word_numbers"))  # fmt: skip
    count = sum(len(sentence) for sentence, _ in made["train"])
    assert weights.sum() == pytest.approx(count, rel=1e-5)
    decided = np.sort(numbers[numbers > 0])
    assert len(np.unique(decided)) == len(decided) == count
    assert ((weights > 0) & (numbers == 0)).any() == (pieces == "all")
    assert (weights[numbers > 0] > 0).all()


def test_the_further_pieces_of_a_word_are_inside_its_entity(settings, tmp_path):
    settings.data.tag_pieces = "all"
    name = OTHERS[0]
    settings.data.train = write_sentences(tmp_path / "train.conll", [([name, "the"], ["B-PER", "O"])] * 20)
    settings.data.validation = settings.data.train
    batch = prepare(KIND, settings).task.held_out
    names = KIND.objectives(settings, {"labels.json": b'["B-PER", "I-PER", "O"]'})[0].names
    row = batch["example_ids"][0] == 1
    said = [names[i] for i, w in zip(batch["labels"][0][row], batch["label_weights"][0][row], strict=True) if w > 0]
    assert said[0] == "B-PER"
    assert set(said[1:-1]) == {"I-PER"}
    assert said[-1] == "O"


def test_an_interrupted_run_ends_like_a_straight_one(settings, tmp_path):
    run(KIND, settings, tmp_path / "straight")
    for stop in (1, 5, None):
        settings.train.stop_after = stop
        run(KIND, settings, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")


@pytest.mark.parametrize("scheme", ["bioes", "iob1"])
def test_another_scheme_is_learned_on_request(settings, tmp_path, scheme):
    settings.data.scheme = scheme
    settings.train.num_steps = 2
    run(KIND, settings, tmp_path / "run")
    run(KIND, settings, tmp_path / "run")  # again: the scheme of the files was told once and for all
    model = load(tmp_path / "run")
    assert (model.run.data.file_scheme, model.objectives[0].scheme) == ("iob2", scheme)
    letters = {"bioes": "BEIS", "iob1": "BI"}[scheme]
    assert model.objectives[0].names == tuple(sorted({f"{a}-{b}" for a in letters for b in ("LOC", "PER")} | {"O"}))
    gold = [tag for row in predictions(model, settings.data.validation, True, []) for tag in row["gold"]]
    assert {tag[0] for tag in gold} == {*letters, "O"}


def test_an_unknown_tag_in_validation_is_refused_with_its_place(settings, tmp_path):
    settings.data.validation = write_sentences(tmp_path / "dev.conll", [(["a", "b"], ["O", "B-LOK"])])
    with pytest.raises(CorpusError, match=r"dev\.conll, line 1, word 2 \('b'\): the tag 'B-LOK' does .*B-LOC"):
        run(KIND, settings, tmp_path / "run")


def test_files_with_nothing_to_learn_are_refused(settings, tmp_path):
    settings.data.train = write_sentences(tmp_path / "train.conll", [(["a", "b"], ["O", "O"])])
    with pytest.raises(CorpusError, match=r"train\.conll has only one tag, 'O'"):
        run(KIND, settings, tmp_path / "run")


def test_a_held_out_set_without_entities_is_refused(settings, tmp_path):
    settings.data.validation = write_sentences(tmp_path / "dev.conll", [(["a", "b"], ["O", "O"])])
    with pytest.raises(CorpusError, match="nothing has to be learned for a perfect score of 'word accuracy'"):
        run(KIND, settings, tmp_path / "run")


def test_words_without_pieces_have_a_tag_and_shift_none(model, tmp_path, words):
    sentence = [words[0], "\u200b", "\x01", words[5], words[1]]
    (tagged,) = model.tag_words([sentence])
    assert len(tagged) == 5
    assert tagged[0][0] == "B-PER"
    assert tagged[4][0] == "B-LOC"
    write_sentences(tmp_path / "new.conll", [(sentence, ["O"] * 5)])
    (row,) = predictions(model, tmp_path / "new.conll", False, [])
    assert row["words"] == sentence
    assert "gold" not in row
    assert row["predicted"] == [tag for tag, _ in tagged]


def test_entities_have_their_offsets_whatever_their_company_and_length(model, words):
    person, place, other = *words[:2], words[5]
    text = f"  {person.upper()}, {other}\n{person}!"
    found = model.tag(text)
    assert [(one.type, one.text, one.start) for one in found] == [
        ("PER", person.upper(), 2),
        ("PER", person, text.rindex(person)),
    ]
    assert all(text[one.start : one.end] == one.text and 0 < one.score <= 1 for one in found)
    long = " ".join([person, *[other] * 40, place])
    (alone,) = model.tag([long])
    assert [(one.type, one.end) for one in alone] == [("PER", len(person)), ("LOC", len(long))]
    together = model.tag([text, "", long, [other, place, person], text])
    places = [[(one.type, one.start, one.end) for one in each] for each in together]
    assert places[2] == [(one.type, one.start, one.end) for one in alone]
    assert places[1:4:2] == [[], [("LOC", 1, 2), ("PER", 2, 3)]]
    assert places[0] == places[4] == [(one.type, one.start, one.end) for one in found]
    assert together[0][0].score == pytest.approx(found[0].score, rel=1e-5)
    assert list(map(len, model.tag(["", "   ", "\u200b", person]))) == [0, 0, 0, 1]
    assert model.tag([]) == []
    assert model.tag(iter([text])) == [found]


def test_accents_and_scripts_do_not_shift_offsets(model, words):
    person = words[0]
    for before in ("É\u0301\u0300 ", "ﬁ İ ß ", "北京", "पानी ", "😀 ", "\u200b\u00ad", "カ\u3099"):
        text = f"{before}{person} "
        assert any(text[one.start : one.end] == one.text == person for one in model.tag(text)), before


def test_predictions_of_new_texts_and_files(model, files, tmp_path, words):
    found = list(predictions(model, f"{files}/validation.conll", True, []))
    assert len(found) == 60
    for row in found:
        assert len(row["words"]) == len(row["gold"]) == len(row["predicted"]) == len(row["probabilities"])
        assert all(0 < share <= 1 for share in row["probabilities"])
    (tmp_path / "new.txt").write_text(f"the {words[0]}\n\n{words[1]}!\n")
    assert write_predictions(model, tmp_path / "new.txt", tmp_path / "out.jsonl") == 3
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [[(one["type"], one["text"], one["start"]) for one in row["predicted"]] for row in rows] == [
        [("PER", words[0], 4)],
        [],
        [("LOC", words[1], 0)],
    ]


def test_a_tagger_stands_alone_and_in_our_own_format(workdir, model, words, tmp_path):
    texts = [f"the {words[0]} {words[2]}", words[1]]
    shutil.copytree(workdir / "checkpoints", tmp_path / "checkpoints")
    assert load(tmp_path / "checkpoints").tag(texts) == model.tag(texts)
    model.save_checkpoint(tmp_path / "own")
    assert load(tmp_path / "own").tag(texts) == model.tag(texts)
    with pytest.raises(CheckpointError, match="not trained to label texts"):
        model.classify(texts)


def test_bare_tags_give_an_entry_for_each_word(settings, words, made, tmp_path):
    sentences = [(one, ["NOUN" if word in words[:3] else "X" for word in one]) for one, _ in made["train"]]
    settings.data.train = write_sentences(tmp_path / "train.conll", sentences[:200])
    settings.data.validation = write_sentences(tmp_path / "dev.conll", sentences[200:])
    settings.eval.best_by = "label_f1"
    scores = run(KIND, settings, tmp_path / "run")
    assert "eval/label_precision" not in scores
    text = write_report(tmp_path / "run")
    assert "tags, macro-F1" in text
    assert "| tag | precision | recall | F1 | support | predicted |" in text
    (found,) = load(tmp_path / "run").tag([f"{words[0]}, the"])
    assert [(one.text, one.start) for one in found] == [(words[0], 0), (",", len(words[0])), ("the", len(words[0]) + 2)]
    assert {one.type for one in found} <= {"NOUN", "X"}
