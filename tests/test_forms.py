import math

import pytest

from bert_jax.forms import problem

FORM = {"name": str, "steps": [{"step": int, "rate?": float}], "hashes": {str: str}, "more?": object}
GOOD = {"name": "a", "steps": [{"step": 1}, {"step": 2, "rate": 0.5}], "hashes": {"x": "y"}, "other": [None]}


def test_a_value_of_the_form_has_no_problem():
    for value in (GOOD, GOOD | {"more": None}, GOOD | {"steps": [], "hashes": {}}):
        assert not problem(value, FORM)
    assert not problem(1, float)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": 1}, "name is not text"),
        ({"name": None}, "name is not text"),
        ({"steps": {}}, "steps is not a list"),
        ({"steps": [{"step": 1}, {"step": True}]}, "steps[1].step is not a whole number"),
        ({"steps": [{"step": 1.0}]}, "steps[0].step is not a whole number"),
        ({"steps": [{"step": 1, "rate": math.nan}]}, "steps[0].rate is not a number"),
        ({"steps": [{"step": 1, "rate": False}]}, "steps[0].rate is not a number"),
        ({"steps": [{}]}, "steps[0].step is missing"),
        ({"steps": [3]}, "steps[0] is not an object"),
        ({"hashes": []}, "hashes is not an object"),
        ({"hashes": {"x": 2}}, "hashes.x is not text"),
    ],
)
def test_what_is_wrong_and_where(change, told):
    assert problem(GOOD | change, FORM) == told


def test_the_whole_value_may_be_wrong():
    assert problem([], FORM) == "it is not an object"
    assert problem({}, FORM) == "name is missing"
