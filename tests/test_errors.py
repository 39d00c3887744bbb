import pytest

from bert_jax.errors import ConfigError, CorpusError, check_all, choice_problem, did_you_mean, near_names, quoted

NAMES = ["config.model.num_layers", "config.train.batch_size", "config.train.seed", "config.eval.seed", "workdir"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("config.model.num_layrs", " Did you mean config.model.num_layers?"),
        ("num_layrs", " Did you mean config.model.num_layers?"),
        ("config.data.batch_size", " Did you mean config.train.batch_size?"),
        ("seed", " Did you mean config.train.seed or config.eval.seed?"),
        ("wrkdir", " Did you mean workdir?"),
        ("xyz", ""),
    ],
)
def test_near_names_are_told(wrong, told):
    assert did_you_mean(wrong, NAMES) == told


def test_choices_are_told():
    assert choice_problem("model.pooling", "max", ("cls", "max")) == []
    (problem,) = choice_problem("model.pooling", "mx", ("cls", "max"))
    assert problem == "model.pooling='mx' is not one of cls, max. Did you mean max?"
    (problem,) = choice_problem("data.units", "letters", ("", "words", "characters"))
    assert problem.startswith("data.units='letters' is not one of words, characters.")


def test_all_checks_are_made():
    def wrong(kind, sentence):
        def check():
            raise kind(sentence)

        return check

    check_all(lambda: None)
    with pytest.raises(CorpusError, match=r"^a\nb$"):
        check_all(wrong(CorpusError, "a"), lambda: None, wrong(ConfigError, "b"))
    with pytest.raises(ZeroDivisionError):
        check_all(lambda: 1 / 0)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("train.lr", ["optimizer.learning_rate"]),
        ("data.batch_size", ["train.batch_size"]),
        ("train.num_stepz", ["train.num_steps"]),
        ("bs", ["train.batch_size"]),
        ("train.x", []),
    ],
)
def test_near_names_are_found_by_their_last_part_and_by_initials(wrong, near):
    known = ["optimizer.learning_rate", "train.batch_size", "train.num_steps", "train.seed"]
    assert near_names(wrong, known) == near


def test_foreign_names_are_quoted_and_cut():
    assert quoted("a\x1b[2J\n") == r"'a\x1b[2J\n'"
    assert len(quoted("x" * 100_000)) < 90


def test_names_of_files_are_quoted_and_cut():
    assert quoted("bert.pooler") == "'bert.pooler'"
    for name in ("x" * 100_000, "\x1b[2J\n" * 100_000, "it's \"" * 30):
        assert len(quoted(name)) <= 82
        assert quoted(name).isprintable()
