"""Text that is safe to print: nothing that a terminal would execute is left."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_attn._printable import printable, printable_json

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True)


def executes(character):
    """Whether a terminal may execute a character, or cannot be sent it."""
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF")
        or unicodedata.bidirectional(character) in ("LRI", "RLI", "FSI", "PDI")
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\x9b1m\x85", r"\x9b1m\x85"),
        ("user\u202etxt.exe\u2069", r"user\u202etxt.exe\u2069"),
        ("half \udcff", r"half \udcff"),
        ("a\tb\nc\rd", "a\tb\nc\\rd".replace("\\r", r"\x0d")),
        ("很好 naïve 👍🏽 [red] \\", "很好 naïve 👍🏽 [red] \\"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, shown):
    assert printable(text, keep="\n\t") == shown


@EXAMPLES
@given(ANY_TEXT)
def test_nothing_that_a_terminal_executes_is_left(text):
    shown = printable(text)
    assert not any(map(executes, shown))
    shown.encode()
    if not any(map(executes, text)):
        assert shown == text


@EXAMPLES
@given(st.dictionaries(ANY_TEXT, st.lists(ANY_TEXT | st.integers() | st.none()), max_size=3))
def test_json_is_exact_and_safe(value):
    shown = printable_json(value)
    assert json.loads(shown) == value
    assert not any(map(executes, shown))


def test_json_has_letters_of_all_scripts():
    assert printable_json({"文": "很好"}) == '{"文": "很好"}'
