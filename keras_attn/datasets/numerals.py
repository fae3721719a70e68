"""`numerals`: generated pairs of numbers in English words and in Chinese numerals."""

import functools
import os

import numpy as np

from keras_attn.datasets.pairs import PairSplit
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

SIZES = {"train": 6_000, "validation": 300, "test": 500}
LARGEST = 99_999

_SMALL = "zero one two three four five six seven eight nine ten".split()  # noqa: SIM905
_SMALL += [f"{stem}teen" for stem in ("thir", "four", "fif", "six", "seven", "eigh", "nine")]
_SMALL[11:11] = ["eleven", "twelve"]
_TENS = [f"{stem}ty" for stem in ("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine")]
_DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千", "万")


def in_english(number: int) -> str:
    """Return a number from 0 to 99,999 in English words.

    Example:

    >>> in_english(40_305)
    'forty thousand three hundred and five'
    """
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_SMALL[rest]}" if rest else "")
    if number < 1_000:
        hundreds, rest = divmod(number, 100)
        return f"{_SMALL[hundreds]} hundred" + (f" and {in_english(rest)}" if rest else "")
    thousands, rest = divmod(number, 1_000)
    link = " and " if 0 < rest < 100 else " "
    return f"{in_english(thousands)} thousand" + (f"{link}{in_english(rest)}" if rest else "")


def in_chinese(number: int) -> str:
    """Return a number from 0 to 99,999 in Chinese numerals.

    Example:

    >>> in_chinese(40_305), in_chinese(12)
    ('四万零三百零五', '十二')
    """
    digits = [int(digit) for digit in str(number)]
    text = ""
    for place, digit in zip(reversed(range(len(digits))), digits, strict=True):
        if digit:
            text += _DIGITS[digit] + _UNITS[place]
        elif text and not text.endswith("零"):
            text += "零"
    text = text.rstrip("零") or "零"
    return text.removeprefix("一") if text.startswith("一十") else text


def draw_numerals(seed: int = 0, sizes: dict[str, int] | None = None) -> Dataset[PairSplit]:
    """Generate the data set. It needs no file and no network. All numbers are different.

    Args:
        seed: Integer that determines the numbers.
        sizes: Number of pairs of each split; None means `SIZES`.

    Returns:
        The splits named in `sizes`, drawn on access.
    """
    sizes = SIZES if sizes is None else sizes

    @functools.cache
    def read() -> dict[str, np.ndarray]:
        random = np.random.default_rng(seed)
        # As many numbers of each length, but for the short ones, of which there are few.
        exponents = random.random(40 * sum(sizes.values())) * np.log10(LARGEST + 1)
        distinct = np.array(list(dict.fromkeys((10**exponents).astype(int).tolist())))
        chosen = random.permutation(distinct[: sum(sizes.values())])
        ends = np.cumsum(list(sizes.values()))
        return dict(zip(sizes, np.split(chosen, ends[:-1]), strict=True))

    def split_of(name: str) -> PairSplit:
        sources, targets = (
            np.array([write(int(number)) for number in read()[name]], dtype=object)
            for write in (in_english, in_chinese)
        )
        return PairSplit(sources, targets, target_language="zh")

    readers = {name: functools.partial(split_of, name) for name in sizes}
    return Dataset("numerals", (), readers, "zh")


@register_dataset("numerals", task="translation", language="zh")
def load_numerals(data_dir: str | os.PathLike[str] | None = None) -> Dataset[PairSplit]:
    """Generate the data set of seed 0. `data_dir` is not read."""
    return draw_numerals()
