"""Copying of numbers, URLs, placeholders and names by a model that was not trained to copy.

A model writes an unknown URL or number in subwords, and garbles it. It does copy some names and
numbers that are frequent in its training data. So a text is translated with such stand-ins in place
of the items, several times with different ones. Translations that hold each stand-in exactly once
are kept, and the items take its place; the translation that most stand-ins agree on is the answer.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from keras_attn._warnings import warn_user
from keras_attn._wording import counted
from keras_attn.tasks.translation.answers import Translation

# Stand-ins: names that are spelled alike in many languages, and numbers that are written in digits.
# Those of the second row are tried for texts in which none of the first was copied.
NAMES = (
    ("London", "Boston", "Texas", "John", "Tom", "Mario",
     "Michigan", "Paris", "Berlin", "Anna", "Japan", "Nike"),
    ("BMX", "Elmo", "NASA", "Baby", "Peter", "Maria",
     "Canada", "Chicago", "IBM", "David", "Madrid", "Oregon"),
)  # fmt: skip
NUMBERS = ("10", "11", "24", "12", "30", "20", "2012", "15", "100", "50", "18", "99")
TRIALS = len(NUMBERS)  # translations of a text, with other stand-ins each
_STRIDE = 5  # between the stand-ins of two items of a text; prime to `TRIALS`

_DOMAINS = "com|org|net|edu|gov|info|io|co|de|fr|uk|cn|jp|eu|ch|at|it|es|nl|pl|cz"
_LETTERS = "0-9A-Za-z_\u00c0-\u1fff"  # of scripts with spaces, in which words have borders
_URL = r"[!#-;=?-~]*[A-Za-z0-9/#&=+$@~_%-]"  # ASCII without quotes; no stop or bracket at its end
_PATTERNS = {
    "email": r"[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    "url": rf"(?:https?|ftp)://{_URL}|www\.{_URL}"
    rf"|(?<![\w.@-])(?:[A-Za-z0-9-]+\.)+(?:{_DOMAINS})(?![\w@-])(?:/(?:{_URL})?)?",
    "placeholder": r"\{\{[^{}\s]+\}\}|\$?\{[^{}\s]*\}|</?[A-Za-z][^<>]*>|%\([^)\s]+\)[sdif]"
    r"|%(?:\d+\$)?[sdif](?!\w)",
    "number": rf"(?<![{_LETTERS}.,:/-])[$€£¥]?\d+(?:[.,:/-]\d+)*%?(?![{_LETTERS}])",
}
_ITEM = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()))

Translate = Callable[[list[str], list[str]], list[Translation]]  # from texts and prefixes


def check_copy(copy: bool | Sequence[str], n_best: int) -> tuple[str, ...] | None:
    """Return the further strings that the argument `copy` names; None if nothing is copied.

    Raises:
        TypeError: `copy` is not a boolean or a list of strings.
        ValueError: A string is empty, or several translations are requested.
    """
    is_list = isinstance(copy, list | tuple | set | frozenset)
    if not (isinstance(copy, bool) or (is_list and all(isinstance(n, str) for n in copy))):
        raise TypeError(f"`copy` must be True, False or a list of strings. Received: {copy!r}.")
    if copy is False:
        return None
    if n_best > 1:
        raise ValueError(f"`copy` gives one translation of a text. Received: `n_best={n_best}`.")
    names = () if copy is True else tuple(copy)
    if not all(map(str.strip, names)):
        raise ValueError(f"`copy` must not hold an empty string. Received: {copy!r}.")
    return names


def as_text(text: str | bytes) -> str:
    """Return a text as a string."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


class Item(NamedTuple):
    """A part of a text that is to be copied."""

    start: int
    end: int
    text: str
    is_number: bool


class Template(NamedTuple):
    """A translation without its stand-ins.

    Attributes:
        parts: The text before the first stand-in, between them, and after the last.
        order: The number of the item of each stand-in.
        score: Log-probability of the translation.
    """

    parts: tuple[str, ...]
    order: tuple[int, ...]
    score: float


def find_items(text: str, names: Sequence[str] = ()) -> list[Item]:
    """Return the parts of a text that are copied, in order: names, URLs, numbers and so on.

    Numbers of one digit are not among them, since they are often translated as words.

    Example:

    >>> [item.text for item in find_items("2 of 1,234 by Zbigniew, see www.a.org.", ["Zbigniew"])]
    ['1,234', 'Zbigniew', 'www.a.org']
    """
    items = []
    for name in sorted(names, key=len, reverse=True):
        for match in _whole(name).finditer(text):
            items.append(Item(*match.span(), name, False))
    for match in _ITEM.finditer(text):
        is_number = match.lastgroup == "number"
        if not is_number or sum(map(str.isdigit, match[0])) > 1:
            items.append(Item(*match.span(), match[0], is_number))
    result: list[Item] = []
    for item in items:  # the first ones come first
        if all(item.end <= other.start or other.end <= item.start for other in result):
            result.append(item)
    return sorted(result)


def translate_copying(
    translate: Translate,
    texts: Sequence[str],
    prefixes: Sequence[str],
    names: Sequence[str],
    lowercase: bool,
) -> list[Translation]:
    """Return translations that hold the items of their texts, each as often as the text.

    Args:
        translate: Function from texts and prefixes to translations.
        texts: The texts.
        prefixes: What each translation must begin with.
        names: Further strings to copy.
        lowercase: Whether the model reads and writes lower case alone.

    Warns:
        UserWarning: The items of a text could not be copied; it is translated without.
    """
    answers = translate(list(texts), list(prefixes))
    found = [find_items(text, names) for text in texts]
    missing = [row for row, items in enumerate(found) if not _has_items(answers[row].text, items)]
    for names_row in NAMES:
        if not missing:
            break
        templates = _translate_stand_ins(
            translate, [texts[row] for row in missing], [prefixes[row] for row in missing],
            [found[row] for row in missing], [*map(_case(lowercase), names_row)],
        )  # fmt: skip
        for row, candidates in zip(missing, templates, strict=True):
            if candidates:
                text, score = _fill(candidates, found[row])
                answers[row] = answers[row]._replace(text=text, score=score)
        missing = [row for row, some in zip(missing, templates, strict=True) if not some]
    if missing:
        items = ", ".join(repr(item.text) for item in found[missing[0]])
        warn_user(
            f"{len(missing)} of {counted(len(texts), 'text')} "
            f"{'is' if len(missing) == 1 else 'are'} translated without copying, such as "
            f"text {missing[0] + 1}: the model copies no stand-in for {items} there."
        )
    return answers


def _case(lowercase: bool) -> Callable[[str], str]:
    return str.lower if lowercase else str


def _translate_stand_ins(
    translate: Translate,
    texts: Sequence[str],
    prefixes: Sequence[str],
    items: Sequence[Sequence[Item]],
    names: Sequence[str],
) -> list[list[Template]]:
    """Return the templates of each text that were found by `TRIALS` stand-ins, see `_template`."""
    trials = [
        (row, *_stand_in(text, items[row], trial, names))
        for row, text in enumerate(texts)
        for trial in range(TRIALS)
    ]
    results = translate([text for _, text, _ in trials], [prefixes[row] for row, _, _ in trials])
    templates: list[list[Template]] = [[] for _ in texts]
    for (row, _, stand_ins), result in zip(trials, results, strict=True):
        if (template := _template(result, stand_ins)) is not None:
            templates[row].append(template)
    return templates


def _has_items(answer: str, items: Sequence[Item]) -> bool:
    """Return whether a translation holds each item as often as its text."""
    expected = Counter(item.text for item in items)
    return all(len(_whole(text).findall(answer)) == count for text, count in expected.items())


def _whole(text: str) -> re.Pattern[str]:
    """Return a pattern that finds a text where it is not a part of a longer word or number."""
    before = f"(?<![{_LETTERS}])" if re.match(f"[{_LETTERS}]", text) else ""
    after = f"(?![{_LETTERS}])" if re.match(f"[{_LETTERS}]", text[-1:]) else ""
    if text[:1].isdigit():
        before += r"(?<!\d[.,:/-])"
    if text[-1:].isdigit():
        after += r"(?![.,:/-]\d)"
    return re.compile(before + re.escape(text) + after)


def _stand_in(
    text: str, items: Sequence[Item], trial: int, names: Sequence[str]
) -> tuple[str, list[str]]:
    """Return the text with stand-ins in place of its items, and the stand-ins, all different."""
    stand_ins: list[str] = []
    for number, item in enumerate(items):
        own = NUMBERS if item.is_number else names
        first = (trial + number * _STRIDE) % len(own)
        candidates = [*own[first:], *own[:first], *names, *NUMBERS]
        free = (word for word in candidates if word not in stand_ins and word not in text)
        stand_ins.append(next(free, candidates[0]))  # twice the same is not accepted later
    parts, end = [], 0
    for item, word in zip(items, stand_ins, strict=True):
        parts += [text[end : item.start], word]
        end = item.end
    return "".join([*parts, text[end:]]), stand_ins


def _template(answer: Translation, stand_ins: Sequence[str]) -> Template | None:
    """Return a translation without its stand-ins; None unless each stands there exactly once."""
    places = []
    for number, word in enumerate(stand_ins):
        matches = list(_whole(word).finditer(answer.text))
        if len(matches) != 1:
            return None
        places.append((*matches[0].span(), number))
    parts, end = [], 0
    for start, stop, _ in sorted(places):
        parts.append(answer.text[end:start])
        end = stop
    order = tuple(number for *_, number in sorted(places))
    return Template((*parts, answer.text[end:]), order, answer.score)


def _fill(templates: Sequence[Template], items: Sequence[Item]) -> tuple[str, float]:
    """Return the template that most stand-ins agree on with the items in it, and its score."""
    votes = Counter((template.parts, template.order) for template in templates)
    best = max(templates, key=lambda t: (votes[t.parts, t.order], t.score))
    filled = [best.parts[0]]
    for number, part in zip(best.order, best.parts[1:], strict=True):
        filled += [items[number].text, part]
    return "".join(filled), best.score
