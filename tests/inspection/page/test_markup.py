"""Escaping."""

import html.parser
import json

from bert_jax.inspection.page.markup import direction, embedded, escaped, isolated, table

NASTY = (
    "</script><script>alert(1)</script>",
    "<!-- <img src=x onerror=alert(1)>",
    "\"double\" and 'single' & &amp; quotes",
    "שלום עולם",
    "مرحبا بالعالم",
    "東京は日本の首都です。",
    "\u202egnirts\u202c \u2028 \u2029 a\tb\nc",
    "zero\0 and bell\a and C1 \x85",
    "half \ud83d of a pair",
    "]]> ${x} `y` \\u003c",
)


class Texts(html.parser.HTMLParser):
    """Collects texts, attributes, and tags."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.texts, self.attributes, self.tags = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [value for _, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def whole(text):
    """A text without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def shown(text):
    """A text as HTML can have it."""
    return whole(text).translate(dict.fromkeys((0, 7, 0x85), "\ufffd"))


def test_every_text_comes_back_as_text_alone():
    for text in NASTY:
        found = Texts(f'<p title="{escaped(text)}">{escaped(text)}</p>{isolated(text)}')
        assert found.tags == ["p", "bdi"]
        assert found.attributes == [shown(text)]
        assert "".join(found.texts) == 2 * shown(text)
        assert Texts(table([text], [[escaped(text)]])).texts.count(shown(text)) == 2


def test_ends_of_lines_of_any_system_are_no_boxes():
    assert escaped("a\r\nb\rc\nd") == "a\r\nb\rc\nd"


def test_values_come_back_from_a_script_and_cannot_end_it():
    text = embedded({"tokens": NASTY, "number": 0.5})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"tokens": [whole(one) for one in NASTY], "number": 0.5}
    script = f'<script type="application/json">{text}</script><p>after</p>'
    assert Texts(script).tags == ["script", "p"]


def test_the_direction_is_that_of_most_letters():
    assert direction(["שלום", "[SEP]"]) == "rtl"
    assert direction(["the שם word"]) == "ltr"
    assert direction(["東京", "1, 2"]) == "ltr"
    assert direction([]) == "ltr"
