"""The forms of JSON files, written as JSON-like values, and what in a value is not of its form.

    {"files": [str], "starts": [{"step": int}], "best?": float, "hashes": {str: str}}

A type stands for its values; `float` for any finite number, `object` for anything. A list of one form holds any number
of it. A dictionary with the key `str` may have any keys, one with names must have these; a name with `?` may be missing
or null. Other names are allowed.
"""

import math
from typing import Any

Form = Any  # a type, [form], {str: form} or {name: form}
TITLES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def problem(value: Any, form: Form, place: str = "") -> str:
    """Says what in a JSON-like value is not of its form, and where; empty if nothing.

    Args:
      value: read from a file.
      form: see above.
      place: where the value is, for the message.
    """
    if isinstance(form, list):
        if not isinstance(value, list):
            return _not_a(list, place)
        inside = ((one, form[0], f"{place}[{i}]") for i, one in enumerate(value))
    elif isinstance(form, dict):
        if not isinstance(value, dict):
            return _not_a(dict, place)
        lead = f"{place}." if place else ""
        if str in form:
            inside = ((one, form[str], f"{lead}{name}") for name, one in value.items())
        else:
            given = {name: form[name] for name in form if not (name[-1] == "?" and value.get(name[:-1]) is None)}
            if missing := [name for name in given if name.rstrip("?") not in value]:
                return f"{lead}{missing[0]} is missing"
            names = [(name.rstrip("?"), one) for name, one in given.items()]
            inside = ((value[name], one, f"{lead}{name}") for name, one in names)
    else:
        return "" if _is_a(form, value) else _not_a(form, place)
    return next((found for one in inside if (found := problem(*one))), "")


def _is_a(kind: type, value: Any) -> bool:
    if kind is float:
        # An integer of JSON may be too large to be asked whether it is finite.
        return type(value) is int or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _not_a(kind: type, place: str) -> str:
    return f"{place or 'it'} is not {TITLES.get(kind, kind.__name__)}"
