"""Strings that text code meets sooner or later."""

import numpy as np

AWKWARD = [
    "",
    " ",
    "   \t\n ",
    "a",
    "\u2581",
    " \u2581\u2581 a\u2581",
    "\x00",
    "a\x00b",
    "\u00e9 e\u0301",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001f44d\U0001f3fd",
    "e\u0301\u0323 \u1112\u1161\u11ab \u0e17\u0e35\u0e48\u0e19\u0e35 \u1780\u17d2\u179a",
    "co\u00adop \u200fab\u2060c \u202eh\u0331H\u0331 &lt;\u0338 &amp\u037e",
    "\u6211\u559c\u6b22\u8fd9\u90e8\u7535\u5f71\u3002",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "\uff21\uff22\uff43\uff01 \uff06amp;lt;",
    "\ufffd\uffff\ufffe\U0010ffff",
    "<br <br<br>/>/><p<p>>",
    "&amp;amp;lt;br&amp;gt; &am&amp;p; &&amp;lt;",
    "\u0130\u03a3\u1e9e \u212a",
    "x" * 1000,
]

# Random text seldom meets a tag or an entity; random pieces of them do.
_FRAGMENTS = ["&", "amp;", "lt;", "gt;", "#39;", "nbsp;", "<", ">", "/", "br", "BR", "p", "P"]
_FRAGMENTS += [" ", "  ", "'", ".", "..", "!", "\u2026", "\u2014", "\u201c", "\u00a0", "\u2581"]
_FRAGMENTS += ["a", "Be", "\u00c9", "\u6f22", "\uff42", "\uff1b", "\U0001f600", "\u0301", "\x00"]
_RANGES = [(0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]
_RANGES += [(0x2000, 0x2070), (0x0590, 0x0700), (0x4E00, 0x4F00), (0x1F300, 0x1F700)]


def random_strings(count, seed):
    """Half of random characters from all of Unicode, half of awkward fragments."""
    random = np.random.default_rng(seed)
    strings = []
    for index in range(count):
        length = int(random.integers(0, 24))
        if index % 2:
            ranges = random.integers(0, len(_RANGES), length)
            strings.append("".join(chr(random.integers(*_RANGES[at])) for at in ranges))
        else:
            strings.append("".join(random.choice(_FRAGMENTS, length)))
    return strings


def random_bytes(count, seed):
    random = np.random.default_rng(seed)
    return [random.bytes(int(random.integers(0, 40))) for _ in range(count)]
