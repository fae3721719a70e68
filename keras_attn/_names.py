"""What to say of a name that nothing has."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, received: object, accepted: Iterable[str | None]) -> str:
    """A message that names what was received, what is near, and what is accepted.

    Example:

    >>> unknown("fruit", "aple", ["apple", "melon"])
    "Unknown fruit: received 'aple'. Did you mean 'apple'? Accepted: 'apple', 'melon'."
    """
    accepted = list(accepted)
    names = [name for name in accepted if isinstance(name, str)]
    near = difflib.get_close_matches(str(received), names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(map(repr, accepted)) or "none"
    return f"Unknown {kind}: received {received!r}.{hint} Accepted: {listed}."
