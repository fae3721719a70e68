"""Error messages for unknown names."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, received: object, accepted: Iterable[str | None]) -> str:
    """Return a message with the received name, similar accepted names, and all accepted names.

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
    similar = difflib.get_close_matches(str(received), names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""
    listing = ", ".join(map(repr, accepted)) or "none"
    return f"Unknown {kind}: received {received!r}.{hint} Accepted: {listing}."
