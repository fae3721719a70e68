"""Error messages for unknown names."""

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

from keras_attn._wording import listed

P = ParamSpec("P")
R = TypeVar("R")


def unknown(kind: str, received: object, accepted: Iterable[str | None]) -> str:
    """Return a message with the received name, similar accepted names, and the accepted names.

    Args:
        kind: What the name should denote, such as `"data set"`.
        received: The name that was received.
        accepted: The names that are accepted.

    Example:

    >>> unknown("fruit", "aple", ["apple", "melon"])
    "Unknown fruit: received 'aple'. Did you mean 'apple'? Accepted: 'apple', 'melon'."
    """
    accepted = list(accepted)
    names = [name for name in accepted if isinstance(name, str)]
    similar = difflib.get_close_matches(str(received), names, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""
    listing = listed(accepted) or "none"
    return f"Unknown {kind}: received {received!r}.{hint} Accepted: {listing}."


def refuse_renamed(owner: str, received: Iterable[str], renamed: Mapping[str, str]) -> None:
    """Raise TypeError if an argument has another name here than in similar libraries.

    Args:
        owner: Name of the function or layer; it starts the message.
        received: Names of the arguments that were received.
        renamed: Names elsewhere, and the advice for each: an argument here.

    Raises:
        TypeError: A name is one of `renamed`.

    Example:

    >>> refuse_renamed("attention", ["use_causal_mask"], {"use_causal_mask": "`is_causal`"})
    Traceback (most recent call last):
    TypeError: attention: received an unknown argument `use_causal_mask`. Pass `is_causal`.
    """
    for name in received:
        if name in renamed:
            raise TypeError(
                f"{owner}: received an unknown argument `{name}`. Pass {renamed[name]}."
            )


def suggest_names(**renamed: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function to refuse arguments by the names that similar libraries have.

    Args:
        **renamed: See `refuse_renamed`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            refuse_renamed(function.__name__, kwargs, renamed)
            return function(*args, **kwargs)

        return call

    return decorate
