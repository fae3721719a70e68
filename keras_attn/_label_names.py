"""The spelling of label names: one name for a label, whatever wrote it."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")
_BOOLEANS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}

# What pandas reads as a missing value (`pandas.read_csv`, `na_values`), besides the empty string.
# Programs write it where a label is missing: `nan` and `None` come from `astype(str)`, `NA` from R.
MISSING_VALUES = frozenset((
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
))  # fmt: skip


def label_name(value: Any) -> str:
    """Return the name of a label: equal labels of different types have equal names.

    Programs write the label 1 as `1` or, in a column with missing values, as `1.0`, and true as
    `true`, `True` or `TRUE`. White space around a name is removed, and letters with accents are
    composed (Unicode's NFC), because macOS decomposes those of file names.

    Args:
        value: A string, UTF-8 bytes, a number or a boolean, of Python or NumPy.

    Returns:
        The name; an empty string for a missing value (None, NaN, infinity, `pandas.NA`).

    Example:

    >>> [label_name(value) for value in (1, 1.0, "1.0", np.float32(1), True, "True", 0.5, " a ")]
    ['1', '1', '1', '1', 'true', 'true', '0.5', 'a']
    """
    if isinstance(value, np.generic):
        # As text, a float32 of 0.1 is 0.1; as a Python float it is 0.10000000149011612.
        value = float(str(value)) if isinstance(value, np.floating) else value.item()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        value = int(value) if value.is_integer() else value
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    name = unicodedata.normalize("NFC", str(value).strip())
    if match := _WHOLE_NUMBER.fullmatch(name):
        return "0" if match[1] == "-0" else match[1]
    return _BOOLEANS.get(name, name)


def names_are_other_numbers(label_names: Sequence[str]) -> bool:
    """Return whether all names are whole numbers, but not 0, 1, 2, ... in this order.

    A number is then ambiguous: it may be a name, or the index of another name.

    Example:

    >>> names_are_other_numbers(("1", "2", "3")), names_are_other_numbers(("0", "1"))
    (True, False)
    """
    names = [label_name(name) for name in label_names]
    are_numbers = all(re.fullmatch(r"-?\d+", name) for name in names)
    return are_numbers and names != [str(index) for index in range(len(names))]


def label_lookup(label_names: Sequence[str]) -> dict[str, int]:
    """Return the index of each label name, also by its spelling as `label_name` writes it.

    Two names that are written alike are found only as they are.

    Example:

    >>> label_lookup(("bad", "1.0", "True", "true"))
    {'1': 1, 'bad': 0, '1.0': 1, 'True': 2, 'true': 3}
    """
    spellings = [label_name(name) for name in label_names]
    indices = {
        spelling: index
        for index, spelling in enumerate(spellings)
        if spellings.count(spelling) == 1 and spelling != label_names[index]
    }
    return {**indices, **{name: index for index, name in enumerate(label_names)}}
