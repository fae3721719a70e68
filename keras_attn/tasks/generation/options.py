"""Checks of the options of generation. Imports no Keras."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from keras_attn._validation import check_positive_integer

LARGEST_SEED = 2**31 - 1


def check_sampling_options(options: Mapping[str, Any]) -> None:
    """Raise ValueError if an option of `TextGenerator.generate` has an impossible value.

    Args:
        options: Options by name; those that are missing or None are not checked.
    """
    for name in ("max_length", "top_k", "no_repeat_ngram_size", "beam_size", "n"):
        if options.get(name) is not None:
            check_positive_integer(name, options[name])
    temperature, top_p = options.get("temperature"), options.get("top_p")
    if temperature is not None and not (_is_number(temperature) and 0 < temperature < float("inf")):
        raise ValueError(
            f"`temperature` must be a positive number. Received: {temperature!r}. For the "
            "likeliest continuation pass `beam_size=1`."
        )
    if top_p is not None and not (_is_number(top_p) and 0 < top_p <= 1):
        raise ValueError(f"`top_p` must be a probability in (0, 1]. Received: {top_p!r}.")
    seed = options.get("seed")
    if seed is not None and not (_is_integer(seed) and 0 <= seed <= LARGEST_SEED):
        raise ValueError(f"`seed` must be an integer from 0 to 2**31 - 1. Received: {seed!r}.")
    if options.get("beam_size") is not None:
        sampling = ("temperature", "top_k", "top_p", "seed")
        passed = [name for name in sampling if options.get(name) is not None]
        if passed:
            raise ValueError(
                f"`beam_size` selects beam search, which draws nothing at random: `{passed[0]}` "
                f"does not apply. Received: beam_size={options['beam_size']}, "
                f"{passed[0]}={options[passed[0]]}. Leave one of them out."
            )
    stop_strings(options.get("stop"))


def stop_strings(stop: Any) -> tuple[str, ...]:
    r"""Return the strings that end a completion.

    Args:
        stop: A string, a list of strings, or None.

    Raises:
        TypeError: It is something else.
        ValueError: A string is empty.

    Example:

    >>> stop_strings("\\n"), stop_strings(None)
    (('\\n',), ())
    """
    strings: Sequence[Any] = () if stop is None else (stop,) if isinstance(stop, str) else stop
    if not isinstance(strings, list | tuple) or not all(isinstance(each, str) for each in strings):
        raise TypeError(f"`stop` must be a string or a list of strings. Received: {stop!r}.")
    if not all(strings):
        raise ValueError(
            f"`stop` must not be empty: it would end every completion. Received: {stop!r}."
        )
    return tuple(strings)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
