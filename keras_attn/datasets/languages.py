"""Codes of languages, and languages that the script of a text gives away."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

# Scripts whose text shows its language, and which write words without spaces (Hangul: with them).
_RANGES = {
    "kana": "\u3041-\u3096\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "zh": "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "ko": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "th": "\u0e01-\u0e4e",
    "lo": "\u0e81-\u0ece",
    "km": "\u1780-\u17d3",
    "my": "\u1000-\u104f",
}
_ALL = "".join(_RANGES.values())
_TERMS = re.compile(f"[{_ALL}]|(?:(?![{_ALL}])[^\\W\\d_])+")  # a character, or a word of another
_SCRIPTS = {script: re.compile(f"[{characters}]") for script, characters in _RANGES.items()}
_KANA = 0.05  # least share of kana in Japanese; Chinese has none, Japanese about a half

# Three-letter codes of ISO 639 by which these and the languages of Moses's rules are also known.
_ALIASES = {
    **dict.fromkeys(("cmn", "zho", "chi", "yue"), "zh"),
    **{"jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo", "khm": "km", "mya": "my", "bur": "my"},
    **{"eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "ces": "cs", "cze": "cs"},
    **{"spa": "es", "ita": "it", "por": "pt", "nld": "nl", "dut": "nl", "rus": "ru", "pol": "pl"},
}


def check_language(name: str, code: Any) -> None:
    """Raise ValueError unless `code` is None or looks like the code of a language.

    Args:
        name: The argument, for the message.
        code: The code, such as `"zh"`, `"zh-Hant"` or `"cmn"`.
    """
    if code is None:
        return
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*", code):
        raise ValueError(
            f"`{name}` must be the code of a language by ISO 639, such as 'zh', 'ja', 'de' or "
            f"'pt-BR'. Received: {code!r}. Leave it out if it is not known."
        )


def base_language(code: str) -> str:
    """Return the two-letter code of a language without its region and script, if it has one.

    Example:

    >>> [base_language(code) for code in ("zh-Hant", "cmn", "pt_BR", "fil")]
    ['zh', 'zh', 'pt', 'fil']
    """
    base = re.split("[-_]", code.lower(), maxsplit=1)[0]
    return _ALIASES.get(base, base)


def guess_language(texts: Iterable[str]) -> str | None:
    """Return the language of texts if their script shows it.

    Returns:
        `"zh"`, `"ja"`, `"ko"`, `"th"`, `"lo"`, `"km"` or `"my"`, if at least half of the words,
        or characters of scripts without spaces, are of its script; else None.

    Example:

    >>> [guess_language([text]) for text in ("我用 GitHub。", "犬が走る。", "A dog runs.")]
    ['zh', 'ja', None]
    """
    counts: Counter[str] = Counter()
    for text in texts:
        for term in _TERMS.findall(text):
            counts[_script(term[0])] += 1
    total = counts.total()
    japanese = counts.pop("kana", 0)
    if japanese > _KANA * (japanese + counts["zh"]):
        counts["ja"] = japanese + counts.pop("zh", 0)
    other = counts.pop("", 0)
    if not total or other > total / 2:
        return None
    language, count = counts.most_common(1)[0]
    return language if count >= total / 2 else None


def _script(character: str) -> str:
    return next((name for name, p in _SCRIPTS.items() if p.match(character)), "")
