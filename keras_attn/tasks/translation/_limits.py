"""Limits of the lengths of sources and translations. Imports no Keras."""

from collections.abc import Sequence

from keras_attn._wording import counted

EXTRA_TOKENS = 8  # a translation has at most twice the tokens of its source plus this number


def too_long(lengths: Sequence[int], max_length: int, consequence: str) -> str:
    """Return a warning of texts that are longer than the model reads; empty if there are none.

    Args:
        lengths: The number of subwords of each text.
        max_length: The number that is read.
        consequence: What becomes of the rest, such as `"not read"`.

    Example:

    >>> too_long([3, 9], 8, "not read")[:69]
    'The first 8 subwords of a text are read. 1 of 2 texts has more, such '
    """
    long = [row for row, length in enumerate(lengths) if length > max_length]
    if not long:
        return ""
    return (
        f"The first {max_length} subwords of a text are read. {len(long)} of "
        f"{counted(len(lengths), 'text')} {'has' if len(long) == 1 else 'have'} more, such as "
        f"text {long[0] + 1} with {lengths[long[0]]}: the rest of it is {consequence}. Split "
        "long texts into sentences."
    )
