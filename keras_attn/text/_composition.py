"""Canonical composition of Unicode (NFC) in a TensorFlow graph.

`unicodedata` provides the data, as constants of the graph. The algorithm is that of Unicode
Standard Annex 15, for all characters of a batch at once: decompose, order the marks of each base
by their combining class, and join bases and marks again. Joining repeats until nothing changes,
which takes one step for each mark of the character with the most marks, at most three.
"""

import dataclasses
import functools
import itertools
import unicodedata
from collections.abc import Callable, Iterable

import numpy as np

from keras_attn._types import Tensor
from keras_attn.text._lookup import IntegerLookup

_CODE_BITS = 21  # bits of a Unicode code point
_MAX_DECOMPOSITION = 4  # code points
_CLASSES = 256  # combining classes are below it
_NO_CODE = -1

# Hangul syllables are composed by a formula: a leading consonant, a vowel, a trailing consonant.
_LEADING, _VOWELS, _TRAILING, _SYLLABLES = 0x1100, 0x1161, 0x11A8, 0xAC00
_NUM_LEADING, _NUM_VOWELS, _NUM_TRAILING = 19, 21, 27
_PER_VOWEL = _NUM_TRAILING + 1
_NUM_SYLLABLES = _NUM_LEADING * _NUM_VOWELS * _PER_VOWEL

# Marks of these classes are seldom combined: any two of them are examined.
_FREE_CLASSES = 200
_LOW_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class _Tables:
    """Data of the composition.

    Attributes:
        classes: The combining class of each character where it is not 0.
        decompositions: The complete decomposition of each character that has one, without Hangul.
        composites: The character that two characters are composed to.
    """

    classes: dict[int, int]
    decompositions: dict[int, tuple[int, ...]]
    composites: dict[tuple[int, int], int]


@functools.cache
def _tables() -> _Tables:
    """Return the tables.

    A pair whose second character is the first of other pairs would have to be composed from left
    to right. There is none up to Unicode 15; those of later versions, of three scripts that have
    few texts, stay decomposed.
    """
    classes, decompositions, composites = {}, {}, {}
    # Planes 0 and 1, without Hangul syllables, and the compatibility ideographs of plane 2.
    codes = itertools.chain(range(_SYLLABLES), range(0xD7A4, 0x20000), range(0x2F800, 0x2FA20))
    for code in codes:
        character = chr(code)
        if combining_class := unicodedata.combining(character):
            classes[code] = combining_class
        mapping = unicodedata.decomposition(character)
        if mapping and not mapping.startswith("<"):
            parts = unicodedata.normalize("NFD", character)
            decompositions[code] = tuple(map(ord, parts))
            if unicodedata.normalize("NFC", parts) == character:
                first, second = (int(part, 16) for part in mapping.split())
                composites[first, second] = code
    firsts = {first for first, _ in composites}
    composites = {pair: code for pair, code in composites.items() if pair[1] not in firsts}
    return _Tables(classes, decompositions, composites)


@functools.cache
def needs_composition() -> str:
    """Return a pattern (RE2) that matches inside of every text that `compose` changes.

    It also matches inside of a few others. Texts that are composed, such as most texts are, are
    thus recognized by a single search.
    """
    tables = _tables()
    classes = tables.classes
    composed = set(tables.composites.values())
    seconds = {second for _, second in tables.composites}
    bases = {first for first, _ in tables.composites} | set(tables.decompositions) | set(classes)
    bases.update(range(_LEADING, _LEADING + _NUM_LEADING))
    bases.update(range(_SYLLABLES, _SYLLABLES + _NUM_SYLLABLES))
    seconds.update(range(_VOWELS, _VOWELS + _NUM_VOWELS))
    seconds.update(range(_TRAILING, _TRAILING + _NUM_TRAILING))

    def marks(lower: int, upper: int) -> str:
        return _character_class(code for code, value in classes.items() if lower <= value < upper)

    # Marks in descending order of their classes have to be ordered.
    alternatives = [
        _character_class(code for code in tables.decompositions if code not in composed),
        _character_class(bases) + _character_class(seconds),
        marks(_FREE_CLASSES, _CLASSES) + marks(1, _CLASSES),
        marks(_LOW_CLASSES, _FREE_CLASSES) + marks(1, _LOW_CLASSES),
    ]
    for value in sorted({value for value in classes.values() if value < _FREE_CLASSES}):
        lower = 1 if value < _LOW_CLASSES else _LOW_CLASSES
        if any(lower <= other < value for other in classes.values()):
            alternatives.append(marks(value, value + 1) + marks(lower, value))
    return "|".join(alternatives)


def compose(codes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the code points of composed texts.

    Args:
        codes: int32 `(C,)`: the code points of all texts.
        rows: int32 `(C,)`: the text of each, increasing.

    Returns:
        Code points and texts of the composed texts, int32 `(C',)` each.
    """
    import tensorflow as tf

    # These are many small operations, much faster as one graph than eagerly.
    return _compiled()(codes, rows) if tf.executing_eagerly() else _compose(codes, rows)


@functools.cache
def _compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    import tensorflow as tf

    vector = tf.TensorSpec((None,), tf.int32)
    return tf.function(_compose, input_signature=[vector, vector], autograph=False)


def _compose(codes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    import tensorflow as tf

    with tf.device("CPU"):  # strings are on the CPU
        codes, rows = _decompose(codes, rows)
        classes = _lookup(codes, _tables().classes, _tables().classes.values())
        codes, rows, classes = _order_marks(codes, rows, classes)
        return _join(codes, rows, classes)


def _decompose(codes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Replace each character by its complete decomposition."""
    import tensorflow as tf

    decompositions = _tables().decompositions
    table = np.full((len(decompositions) + 1, _MAX_DECOMPOSITION), _NO_CODE, "int32")
    for index, parts in enumerate(decompositions.values(), start=1):
        table[index, : len(parts)] = parts
    indices = _lookup(codes, decompositions, range(1, len(table)))
    parts = tf.gather(tf.constant(table), indices)
    itself = tf.pad(codes[:, None], [[0, 0], [0, _MAX_DECOMPOSITION - 1]], constant_values=_NO_CODE)
    parts = tf.where(indices[:, None] > 0, parts, itself)
    is_code = parts != _NO_CODE
    rows = tf.boolean_mask(tf.broadcast_to(rows[:, None], tf.shape(parts)), is_code)
    return tf.boolean_mask(parts, is_code), rows


def _order_marks(codes: Tensor, rows: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort the marks of each base by their classes; marks of one class keep their order."""
    import tensorflow as tf

    total = tf.size(codes, out_type=tf.int64)
    group = tf.cumsum(tf.cast(_begins_group(rows, classes), tf.int64))
    keys = (group * _CLASSES + tf.cast(classes, tf.int64)) * total + tf.range(total)
    order = tf.sort(keys) % total
    return tf.gather(codes, order), tf.gather(rows, order), tf.gather(classes, order)


def _join(codes: Tensor, rows: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Replace each base and mark, or base and base, by the character that they are composed to."""
    import tensorflow as tf

    pairs = _tables().composites
    keys = [first << _CODE_BITS | second for first, second in pairs]
    composites = IntegerLookup(keys, [*pairs.values()])

    def step(
        codes: Tensor, rows: Tensor, classes: Tensor, changed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        begins = _begins_group(rows, classes)
        group = tf.cumsum(tf.cast(begins, tf.int32)) - 1
        starts = tf.cast(tf.where(begins)[:, 0], tf.int32)
        positions = tf.range(tf.size(codes))
        # A mark is joined to the base of its group, a base to the base directly before it.
        base = tf.where(classes > 0, tf.gather(starts, group), tf.maximum(positions - 1, 0))
        previous = tf.concat([[_NO_CODE], classes[:-1]], 0)
        is_second = (base < positions) & (tf.gather(classes, base) == 0)
        is_second &= (tf.gather(rows, base) == rows) & ((previous != classes) | (classes == 0))
        composed = _compose_pairs(composites, tf.gather(codes, base), codes)
        is_second &= composed > 0
        # One mark at a time: the next is joined to the result.
        none = tf.size(codes)
        first = tf.math.unsorted_segment_min(
            tf.where(is_second & (classes > 0), positions, none), group, tf.size(starts)
        )
        is_second &= (classes == 0) | (positions == tf.gather(first, group))
        seconds = tf.where(is_second)[:, 0]
        codes = tf.tensor_scatter_nd_update(
            codes, tf.gather(base, seconds)[:, None], tf.gather(composed, seconds)
        )
        remaining = tf.where(~is_second)[:, 0]
        codes, rows, classes = (tf.gather(each, remaining) for each in (codes, rows, classes))
        return codes, rows, classes, tf.size(seconds) > 0

    vector = tf.TensorShape([None])
    codes, rows, *_ = tf.while_loop(
        lambda codes, rows, classes, changed: changed,
        step,
        [codes, rows, classes, tf.constant(True)],
        shape_invariants=[vector, vector, vector, tf.TensorShape([])],
    )
    return codes, rows


def _begins_group(rows: Tensor, classes: Tensor) -> Tensor:
    """Return where a base, or a text, begins: bool `(C,)`."""
    import tensorflow as tf

    return (classes == 0) | (rows != tf.concat([[_NO_CODE], rows[:-1]], 0))


def _compose_pairs(composites: Callable[[Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """Return the character that each pair of characters is composed to, or 0."""
    import tensorflow as tf

    composed = composites(tf.cast(first, tf.int64) * (1 << _CODE_BITS) + tf.cast(second, tf.int64))
    leading, vowel, trailing = first - _LEADING, second - _VOWELS, second - _TRAILING + 1
    syllable = first - _SYLLABLES
    is_vowel = _between(leading, 0, _NUM_LEADING) & _between(vowel, 0, _NUM_VOWELS)
    is_trailing = _between(syllable, 0, _NUM_SYLLABLES) & (syllable % _PER_VOWEL == 0)
    is_trailing &= _between(trailing, 1, _PER_VOWEL)
    with_vowel = _SYLLABLES + (leading * _NUM_VOWELS + vowel) * _PER_VOWEL
    composed = tf.where(is_vowel, with_vowel, composed)
    return tf.where(is_trailing, first + trailing, composed)


def _between(values: Tensor, lower: int, upper: int) -> Tensor:
    return (values >= lower) & (values < upper)


def _lookup(codes: Tensor, keys: Iterable[int], values: Iterable[int]) -> Tensor:
    import tensorflow as tf

    return IntegerLookup([*keys], [*values])(tf.cast(codes, tf.int64))


def _character_class(codes: Iterable[int]) -> str:
    """Return a character class of RE2 of ranges of code points."""
    ranges: list[list[int]] = []
    for code in sorted(set(codes)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges) + "]"
