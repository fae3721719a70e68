"""Decoding of text files, and suggestions for files in another encoding."""

import codecs
import pathlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from keras_attn._wording import counted
from keras_attn.datasets.files._rows import UNDECODABLE, Row

MAX_UNDECODABLE = 0.01  # fraction of the rows; more mean another encoding, not damaged lines

# UTF-32 before UTF-16, whose mark is the start of that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = {
    b"\x1f\x8b": "compressed by gzip: unpack it first (gunzip)",
    b"\xfd7zXZ": "compressed by xz: unpack it first (unxz)",
    b"PK\x03\x04": "a ZIP archive, or an Excel file: unpack it, or save the sheet as CSV",
}
_DOUBLE_BYTE = ("gb18030", "big5", "cp932", "cp949")
_SINGLE_BYTE = ("cp1252", "cp1251")
_SAMPLE = 24  # characters
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")


def decode_file(path: pathlib.Path, encoding: str | None) -> tuple[str, str]:
    """Return the text of a file and the encoding that it was read in.

    Args:
        path: The file.
        encoding: Its encoding. None means UTF-16 or UTF-32 if the file starts with their byte
            order mark, and otherwise UTF-8.

    Returns:
        The text without a byte order mark, in which each byte that is not of the encoding is half
        a surrogate pair; and the name of the encoding.

    Raises:
        ValueError: The encoding is unknown, does not fit the file, or the file is empty or is no
            text.
    """
    return decode(path.read_bytes(), str(path), encoding)


def decode(content: bytes, path: str, encoding: str | None) -> tuple[str, str]:
    """Return the text of a file's content, see `decode_file`.

    Args:
        content: The bytes of the file.
        path: The file, for error messages.
        encoding: See `decode_file`.
    """
    for start, what in _NO_TEXT.items():
        if content.startswith(start):
            raise ValueError(f"{path} is {what}.")
    mark = next((name for start, name in _MARKS if content.startswith(start)), None)
    codec = _codec(encoding, mark)
    if codec == "utf-8" and mark in ("utf-16", "utf-32"):
        raise ValueError(
            f"{path} starts as a {mark.upper()} file does. Read it with `encoding={mark!r}`."
        )
    try:
        text = content.decode(codec, "surrogateescape").removeprefix("\ufeff")
    except (UnicodeError, LookupError) as error:  # LookupError: a codec that is not for texts
        raise ValueError(f"{path} is not a text in {encoding or codec}: {error}.") from error
    if not text.strip():
        raise ValueError(f"{path} is empty.")
    if codec in ("utf-8", "utf-8-sig") and (wide := _wide_encoding(content)):
        raise ValueError(
            f"Every second byte of {path} is NUL, as in UTF-16. Read it with `encoding={wide!r}`."
        )
    return text, "utf-8" if codec == "utf-8-sig" else codec


def check_decodable(paths: Sequence[pathlib.Path], rows: Sequence[Row], encoding: str) -> None:
    """Raise ValueError if more than 1 % of the rows cannot be decoded."""
    lines = [row.line for row in rows if row.problem == UNDECODABLE]
    if len(lines) > MAX_UNDECODABLE * len(rows):
        raise ValueError(
            f"{len(lines)} of the {counted(len(rows), 'row')} of {' and '.join(map(str, paths))} "
            f"{'holds' if len(lines) == 1 else 'hold'} bytes that are not {encoding}, or NUL "
            f"characters: those on lines {', '.join(map(str, lines[:5]))} first. The file was "
            f"likely written in another encoding. {suggest_encodings(*paths)}"
        )


def suggest_encodings(*paths: pathlib.Path) -> str:
    """Return a sentence that names encodings of files that are not UTF-8, with samples.

    Args:
        *paths: The files; the first that is not UTF-8 is examined.
    """
    return suggest_encodings_of(*(path.read_bytes() for path in paths))


def suggest_encodings_of(*contents: bytes) -> str:
    """Return the sentence of `suggest_encodings` for the contents of files."""
    for content in contents:
        try:
            content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            damaged = content[content.rfind(b"\n", 0, error.start) + 1 :].split(b"\n", 1)[0]
            line = content.count(b"\n", 0, error.start) + 1
            samples = _samples(content, damaged)
            if samples:
                shown = "; ".join(f"`encoding={name!r}`: {text}" for name, text in samples)
                return f"Try the encoding in which line {line} reads right: {shown}."
    return (
        "Try `encoding='gb18030'` (Chinese), `encoding='cp1252'` (Western Europe) or "
        "`encoding='utf-16'`."
    )


def _codec(encoding: str | None, mark: str | None) -> str:
    if encoding is None:
        return mark or "utf-8"
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(
            "`encoding` must be one that Python knows, such as 'utf-8', 'gb18030', 'latin-1', "
            f"'cp1252' or 'utf-16'. Received: {encoding!r}."
        ) from error


def _wide_encoding(content: bytes) -> str | None:
    """Return "utf-16-le" or "utf-16-be" if every other byte is mostly NUL, and the rest letters."""
    head = content[: 2**16]
    for name, nul, letter in (("utf-16-le", 1, 0), ("utf-16-be", 0, 1)):
        nuls, letters = head[nul::2], head[letter::2]
        if nuls.count(0) > 0.5 * len(nuls) and sum(b >= 32 for b in letters) > 0.5 * len(letters):
            return name
    return None


def _samples(content: bytes, damaged: bytes) -> list[tuple[str, str]]:
    """Return encodings in which the whole file reads as letters, and how each reads one line."""
    pairs = sum(len(run) // 2 * 2 for run in _BEYOND_ASCII.findall(damaged))
    high = sum(byte > 127 for byte in damaged)
    double_byte_first = pairs > 0.8 * high
    names = _DOUBLE_BYTE + _SINGLE_BYTE if double_byte_first else _SINGLE_BYTE + _DOUBLE_BYTE
    scores: dict[str, float] = {}
    for name in names:
        try:
            scores[name] = _letters(content.decode(name))
        except UnicodeError:
            continue
    best = sorted(scores, key=lambda name: -round(scores[name], 1))
    shown = [name for name in best if scores[name] > 0.7 * scores[best[0]]][:3]
    return [(name, _excerpt(damaged.decode(name))) for name in shown]


def _letters(text: str) -> float:
    """Return the share of letters, and of East Asian punctuation, among characters beyond ASCII."""
    count = Counter(letter for letter in text if ord(letter) > 127)
    good = sum(number for letter, number in count.items() if _is_letter(letter))
    return good / max(1, count.total())


def _is_letter(letter: str) -> bool:
    return (
        unicodedata.category(letter)[0] in "LM"
        or "\u3000" <= letter <= "\u303f"
        or ("\uff01" <= letter <= "\uff65")
    )


def _excerpt(line: str) -> str:
    """Return a line from shortly before its first letter that is not ASCII."""
    text = " ".join(line.split())
    first = next((index for index, letter in enumerate(text) if ord(letter) > 127), 0)
    return repr(text[max(0, first - 6) :][:_SAMPLE])
