"""Text that is safe to print on a terminal.

Inputs, file names, labels and descriptions come from elsewhere. A terminal executes the control
sequences in them: they can move the cursor, rename the window, or reorder what is read.
"""

import json
import re
from typing import Any

# C0 and C1 control characters, DEL, separators of lines and paragraphs, characters that override
# the direction of writing (Boucher and Anderson, "Trojan Source"), and halves of surrogate pairs,
# which cannot be encoded.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with visible escapes in place of control characters.

    Args:
        text: Any text.
        keep: Control characters to leave as they are, such as `"\n\t"`.

    Example:

    >>> print(printable("a \x1b[31mred\x1b[0m word\n", keep="\n"), end="")
    a \x1b[31mred\x1b[0m word
    """
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def printable_json(value: Any) -> str:
    r"""Return a value as JSON that is safe to print, with letters of all scripts as they are.

    Control characters are escaped as JSON escapes them, so that a parser returns exactly the
    value.

    Args:
        value: A value that JSON can represent.

    Example:

    >>> print(printable_json({"text": "很好 \x9b1m"}))
    {"text": "很好 \u009b1m"}
    """
    content = json.dumps(value, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", content)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
