"""Copying of what cannot be translated, with models that copy some names and numbers."""

import random
import re
import warnings

import pytest

from keras_attn.tasks import Translation
from keras_attn.tasks.translation._copying import (
    NAMES,
    NUMBERS,
    TRIALS,
    _whole,
    find_items,
    translate_copying,
)

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Zbigniew bought 1,234 apples at www.example.org.", ["1,234", "www.example.org"]),
        (
            "Mail a.b+c@mail.co.uk, or see https://x.org/a?b=1&c=(2).",
            ["a.b+c@mail.co.uk", "https://x.org/a?b=1&c=(2"],
        ),
        ("see example.com/path and x.org; not e.g. this.one", ["example.com/path", "x.org"]),
        (
            "Hello {name}, {{user}}, ${x}: <b>bold</b> %s %(n)d 50%",
            ["{name}", "{{user}}", "${x}", "<b>", "</b>", "%s", "%(n)d", "50%"],
        ),
        (
            "3 dogs, 12 cats, 3.5 kg, 12:30, 1998-2003, 99%, $45, B52, 2nd",
            ["12", "3.5", "12:30", "1998-2003", "99%", "$45"],
        ),
        ("网址是https://a.cn/b。共1,234个", ["https://a.cn/b", "1,234"]),
        ("nothing to copy: <3 { } 100x", []),
    ],
)
def test_items_are_detected(text, items):
    found = find_items(text)
    assert [item.text for item in found] == items
    assert all(text[item.start : item.end] == item.text for item in found)


def test_names_are_items_only_if_they_are_given():
    names = ["Zbigniew", "Zbigniew Nowak"]
    found = find_items("Zbigniew Nowak met Zbigniew and Zbigniews.", names)
    assert [item.text for item in found] == ["Zbigniew Nowak", "Zbigniew"]


STAND_INS = {*NAMES[0], *NAMES[1], *NUMBERS}


class Model:
    """Writes the words of a text in reverse, in capitals; copies some, and garbles the others."""

    def __init__(self, copied):
        self.copied, self.calls = copied, []

    def __call__(self, texts, prefixes):
        self.calls.append(len(texts))
        return [Translation(" ".join(map(self.word, reversed(t.split()))), -1.0) for t in texts]

    def word(self, word):
        if word in self.copied:
            return word
        return "???" if word in STAND_INS else re.sub(r"[\W\d]", "?", word.upper())


def copied(model, *texts, names=(), lowercase=False):
    return translate_copying(model, texts, [""] * len(texts), names, lowercase)


def test_items_replace_their_placeholders_exactly_once():
    model = Model({"London", "Mario", "Japan", "20"})
    texts = ["tom sees {x} and 1,234 now", "no item", "see www.a.org and www.b.org and {x}"]
    answers = copied(model, *texts)
    assert [answer.text for answer in answers] == [
        "NOW 1,234 AND {x} SEES TOM",
        "ITEM NO",
        "{x} AND www.b.org AND www.a.org SEE",
    ]
    assert model.calls == [3, 2 * TRIALS]
    (answer,) = copied(model, "a {x} b {x}")
    assert answer.text == "{x} B {x} A"
    (answer,) = copied(Model({"london", "boston"}), "a {x}", lowercase=True)
    assert answer.text == "{x} A"


def test_what_is_copied_already_is_left_as_it_is():
    model = Model({"7", "{x}", "1998"})
    (answer,) = copied(model, "the {x} of 1998")
    assert answer.text == "1998 OF {x} THE"
    assert model.calls == [1]


def test_the_second_set_of_placeholders_is_tried_and_failures_are_reported():
    model = Model({"NASA"})
    (answer,) = copied(model, "see {x}")
    assert answer.text == "{x} SEE"
    assert model.calls == [1, TRIALS, TRIALS]
    with pytest.warns(UserWarning, match=r"1 of 2 texts .* text 2: .* stand-in for '\{x\}'"):
        answers = copied(Model(set()), "see", "see {x}")
    assert [answer.text for answer in answers] == ["SEE", "?X? SEE"]


def test_the_translation_that_most_placeholders_agree_on_is_returned():
    def translate(texts, prefixes):
        return [
            Translation(f"{t.split()[-1]}s dog" if "London" in t else f"dog of {t.split()[-1]}", -1)
            for t in texts
        ]

    (answer,) = copied(translate, "Zbigniew")
    assert answer.text == "dog of Zbigniew"
    (answer,) = copied(lambda *x: [Translation("x", -1)] * len(x[0]), "no items")
    (answer,) = translate_copying(translate, ["a Zbig"], [""], ["Zbig"], False)
    assert answer.text == "dog of Zbig"


@pytest.mark.slow
def test_a_translator_copies_and_takes_names(translator):
    text = "Zbigniew is riding a bicycle with the number 1,234 ."
    answer = translator.translate(text, copy=["Zbigniew"])
    for item in ("Zbigniew", "1,234"):
        assert answer.text.count(item) == 1
    assert answer.score < 0.0
    assert translator.translate([text.encode()], copy=["Zbigniew"]) == [answer]
    plain = "Two dogs play in the snow."
    assert translator.translate(plain, copy=True) == translator.translate(plain)
    for wrong in ("Zbigniew", [1], 1):
        with pytest.raises(TypeError, match="`copy` must be True, False or a list of strings"):
            translator.translate(text, copy=wrong)
    with pytest.raises(ValueError, match="`copy` must not hold an empty string"):
        translator.translate(text, copy=[" "])
    with pytest.raises(ValueError, match=r"`copy` gives one translation .*n_best=2"):
        translator.translate(text, copy=True, n_best=2)


TEMPLATES = (
    "A man named {n} is standing in front of a building .",
    "There are {d} people in the park .",
    "A boy is holding a sign with {u} on it .",
    "{n} is riding a bicycle down the street .",
    "A girl is wearing the number {d} on her jersey .",
    "Two dogs play with {p} in the snow .",
    "A man is reading {u} on his laptop .",
    "A woman writes to {m} at her desk .",
    "{n} bought {d} apples at {u} .",
    "A truck with {d} boxes is parked on the street .",
    "Please write to {m} or visit {u} .",
    "{d} children are running on the grass .",
)
ITEMS = {
    "n": ["Zbigniew", "Oluwaseun", "Xochitl", "Kowalczyk", "Nguyen", "Siobhan", "Björk"],
    "u": ["www.example.org", "http://a.b.co/x?y=1&z=2", "example.com/path"],
    "m": ["jane.doe@example.com", "info@uni-bonn.de", "x_1@mail.co.uk"],
    "d": ["1,234", "17", "3.5", "2024", "99%", "$45", "12:30", "555-0199"],
    "p": ["{name}", "<b>", "{0}", "%s", "{{user}}"],
}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("names", "least"), [(True, 0.95), (ITEMS["n"], 0.8)])
def test_most_of_a_few_hundred_sentences_are_copied_from(translator, names, least):
    draw = random.Random(0)
    rows = []
    for _ in range(200):
        items = []

        def fill(match, items=items):
            items.append(draw.choice(ITEMS[match[1]]))
            return items[-1]

        rows.append((re.sub(r"\{([numdp])\}", fill, draw.choice(TEMPLATES)), items))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        answers = translator.translate([text for text, _ in rows], copy=names)
    once = [
        len(_whole(item).findall(answer.text)) == 1
        for (_, items), answer in zip(rows, answers, strict=True)
        for item in items
        if names is not True or item not in ITEMS["n"]
    ]
    assert sum(once) / len(once) > least


# By the number of items in a sentence; all of them are copied, or none.
SEVERAL = {
    1: ("There are {d} people in the park .", "A boy is holding a sign with {u} on it ."),
    2: ("Please write to {m} or visit {u} .", "A man with {d} boxes is reading {u} ."),
    3: (
        "{d} people are reading {u} and writing to {m} .",
        "A man buys {d} apples and {d} books at {u} .",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("number", SEVERAL)
def test_up_to_three_items_of_a_sentence_are_copied(translator, number):
    draw = random.Random(0)
    texts = [
        re.sub(r"\{([numdp])\}", lambda match: draw.choice(ITEMS[match[1]]), template)
        for template in SEVERAL[number]
        for _ in range(20)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        answers = translator.translate(texts, copy=True)
    complete = [
        all(len(_whole(item.text).findall(answer.text)) >= 1 for item in find_items(text))
        for text, answer in zip(texts, answers, strict=True)
    ]
    assert sum(complete) / len(complete) > 0.9
