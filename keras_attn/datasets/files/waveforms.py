"""Reading of WAV files, with NumPy alone.

The standard library's `wave` refuses float samples, and before Python 3.12 every file with the
extensible header that recorders write for more than 16 bits; `tf.audio.decode_wav` reads 16 bits
only. The format is a few headers around an array, so it is read here.
"""

import io
import os
import pathlib
import struct
from typing import BinaryIO, NamedTuple

import numpy as np

from keras_attn.datasets.waveforms import (
    MAX_CHANNELS,
    UnusableSoundError,
    Waveform,
    check_rate,
    too_long,
)

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
UNKNOWN_SIZE = 0xFFFFFFFF  # of files that were written as a stream
_ENCODINGS = {
    0x0002: "ADPCM",
    0x0006: "A-law",
    0x0007: "mu-law",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 6.10",
    0x0050: "MPEG",
    0x0055: "MP3",
    0x00FF: "AAC",
}
_OTHER_FORMATS = {
    b"ID3": "MP3",
    b"\xff\xfb": "MP3",
    b"\xff\xf3": "MP3",
    b"\xff\xf2": "MP3",
    b"\xff\xf1": "AAC",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"RIFX": "big-endian WAV",
    b"RF64": "RF64, WAV of more than 4 GB",
    b"\x1aE\xdf\xa3": "WebM",
}
ACCEPTED = "PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits"


class _Format(NamedTuple):
    """The format chunk of a WAV file; `bits` are those of a sample."""

    encoding: int
    channels: int
    rate: int
    bits: int


def decode_wav(
    source: str | os.PathLike[str] | bytes, *, max_seconds: float | None = None
) -> Waveform:
    """Read a WAV file: PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits.

    Several channels are mixed down to their mean.

    Args:
        source: The path of a file, or the bytes of one.
        max_seconds: The longest sound to read, by the header of the file; None reads any. A longer
            one is refused before its samples are read.

    Returns:
        The waveform, at the rate of the file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is empty, truncated, compressed, too long or no WAV file, or it has
            samples that are not finite.

    Example:

    >>> import struct
    >>> samples = np.array([0, 16_384], "<i2").tobytes()
    >>> form = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    >>> header = struct.pack("<4sI8s", b"RIFF", 40, b"WAVEfmt ") + form
    >>> decode_wav(header + struct.pack("<4sI", b"data", 4) + samples).samples.tolist()
    [0.0, 0.5]
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), "The file", len(source), max_seconds)
    path = pathlib.Path(source)
    if not path.exists():
        raise FileNotFoundError(f"There is no WAV file {str(path)!r}.")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder. Give a WAV file.")
    with path.open("rb") as file:
        return _decode(file, repr(str(path)), path.stat().st_size, max_seconds)


def _decode(file: BinaryIO, name: str, size: int, max_seconds: float | None) -> Waveform:
    start = file.read(12)
    if not size:
        raise UnusableSoundError(f"{name} is empty: it has no bytes.", "empty")
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        known = next((kind for sign, kind in _OTHER_FORMATS.items() if start.startswith(sign)), "")
        kind = f"Its content is {known}. Convert it to WAV." if known else _advice()
        raise UnusableSoundError(
            f"{name} is not a WAV file that can be read. {kind}",
            f"not a WAV file: the content is {known}" if known else "not a WAV file",
        )
    form: _Format | None = None
    while header := file.read(8):
        if len(header) < 8:
            break
        chunk, length = struct.unpack("<4sI", header)
        if chunk == b"fmt ":
            form = _read_format(file.read(length), name)
        elif chunk == b"data":
            if form is None:
                raise UnusableSoundError(
                    f"{name} is damaged: its samples precede their format.", "damaged"
                )
            return _read_samples(file, name, form, length, size - file.tell(), max_seconds)
        else:
            file.seek(length, os.SEEK_CUR)
        if length % 2:  # chunks begin at even offsets
            file.seek(1, os.SEEK_CUR)
    raise UnusableSoundError(f"{name} is truncated: it has no samples.", "truncated")


def _advice() -> str:
    return f"Accepted: WAV with {ACCEPTED}."


def _read_format(content: bytes, name: str) -> _Format:
    if len(content) < 16:
        raise UnusableSoundError(f"{name} is truncated: it ends in its header.", "truncated")
    encoding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if encoding == EXTENSIBLE and len(content) >= 26:
        (encoding,) = struct.unpack("<H", content[24:26])
    widths = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}
    if encoding not in widths:
        kind = _ENCODINGS.get(encoding, f"the code {encoding}")
        raise UnusableSoundError(
            f"{name} is compressed: its encoding is {kind}. Convert it to PCM of 16 bits. "
            f"{_advice()}",
            f"compressed: the encoding is {kind}",
        )
    if bits not in widths[encoding]:
        raise UnusableSoundError(
            f"{name} has samples of {bits} bits. {_advice()}", f"of {bits} bits, which are not read"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise UnusableSoundError(f"{name} is damaged: it has {channels} channels.", "damaged")
    try:
        check_rate(rate)
    except ValueError as error:
        raise UnusableSoundError(f"{name} is damaged, or no sound: {error}", "damaged") from error
    return _Format(encoding, channels, rate, bits)


def _read_samples(
    file: BinaryIO,
    name: str,
    form: _Format,
    length: int,
    remaining: int,
    max_seconds: float | None,
) -> Waveform:
    if length == UNKNOWN_SIZE:
        length = remaining
    if length > remaining:
        raise UnusableSoundError(
            f"{name} is truncated: its header says {length:,} bytes of samples, and "
            f"{remaining:,} are there.",
            "truncated",
        )
    frame = form.channels * form.bits // 8
    frames = length // frame
    if not frames:
        raise UnusableSoundError(f"{name} is empty: it has no samples.", "empty")
    if max_seconds is not None and frames > max_seconds * form.rate:
        raise too_long(name, frames / form.rate, max_seconds)
    content = np.frombuffer(file.read(frames * frame), "uint8")
    samples = _convert(content, form).reshape(frames, form.channels)
    try:
        return Waveform(samples, form.rate)
    except ValueError as error:  # NaN, or floats that are not scaled
        raise UnusableSoundError(f"{name} cannot be read: {error}", "damaged") from error


def _convert(content: np.ndarray, form: _Format) -> np.ndarray:
    """Return the bytes of samples as numbers that `Waveform` scales."""
    if form.encoding == FLOAT:
        return content.view(f"<f{form.bits // 8}")
    if form.bits == 24:  # as the upper bytes of 32 bits
        wide = np.zeros((len(content) // 3, 4), "uint8")
        wide[:, 1:] = content.reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype("int32")
    if form.bits == 8:
        return content
    return content.view(f"<i{form.bits // 8}").astype(f"int{form.bits}")
