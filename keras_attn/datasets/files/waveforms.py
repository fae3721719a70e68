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

from keras_attn.datasets.waveforms import MAX_CHANNELS, Waveform, check_rate

MAX_SECONDS = 60.0  # default limit of a file
_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_UNKNOWN_SIZE = 0xFFFFFFFF  # of files that were written as a stream
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
_ACCEPTED = "PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits"


class _Format(NamedTuple):
    """The format chunk of a WAV file; `bits` are those of a sample."""

    encoding: int
    channels: int
    rate: int
    bits: int


def decode_wav(
    source: str | os.PathLike[str] | bytes, *, max_seconds: float | None = MAX_SECONDS
) -> Waveform:
    """Read a WAV file: PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits.

    Several channels are mixed down to their mean.

    Args:
        source: The path of a file, or the bytes of one.
        max_seconds: The longest sound to read; None reads any. A longer one is refused before its
            samples are read.

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
        raise ValueError(f"{name} is empty: it has no bytes.")
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        known = next((kind for sign, kind in _OTHER_FORMATS.items() if start.startswith(sign)), "")
        kind = f"Its content is {known}. Convert it to WAV." if known else _advice()
        raise ValueError(f"{name} is not a WAV file that can be read. {kind}")
    form: _Format | None = None
    while header := file.read(8):
        if len(header) < 8:
            break
        chunk, length = struct.unpack("<4sI", header)
        if chunk == b"fmt ":
            form = _read_format(file.read(length), name)
        elif chunk == b"data":
            if form is None:
                raise ValueError(f"{name} is damaged: its samples stand before their format.")
            return _read_samples(file, name, form, length, size - file.tell(), max_seconds)
        else:
            file.seek(length, os.SEEK_CUR)
        if length % 2:  # chunks begin at even offsets
            file.seek(1, os.SEEK_CUR)
    raise ValueError(f"{name} is truncated: it has no samples.")


def _advice() -> str:
    return f"Accepted: WAV with {_ACCEPTED}."


def _read_format(content: bytes, name: str) -> _Format:
    if len(content) < 16:
        raise ValueError(f"{name} is truncated: it ends in its header.")
    encoding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if encoding == _EXTENSIBLE and len(content) >= 26:
        (encoding,) = struct.unpack("<H", content[24:26])
    widths = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
    if encoding not in widths:
        kind = _ENCODINGS.get(encoding, f"the code {encoding}")
        raise ValueError(
            f"{name} is compressed: its encoding is {kind}. Convert it to PCM of 16 bits. "
            f"{_advice()}"
        )
    if bits not in widths[encoding]:
        raise ValueError(f"{name} has samples of {bits} bits. {_advice()}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise ValueError(f"{name} is damaged: it has {channels} channels.")
    try:
        check_rate(rate)
    except ValueError as error:
        raise ValueError(f"{name} is damaged, or no sound: {error}") from error
    return _Format(encoding, channels, rate, bits)


def _read_samples(
    file: BinaryIO,
    name: str,
    form: _Format,
    length: int,
    remaining: int,
    max_seconds: float | None,
) -> Waveform:
    if length == _UNKNOWN_SIZE:
        length = remaining
    if length > remaining:
        raise ValueError(
            f"{name} is truncated: its header says {length:,} bytes of samples, and "
            f"{remaining:,} are there."
        )
    frame = form.channels * form.bits // 8
    frames = length // frame
    if not frames:
        raise ValueError(f"{name} is empty: it has no samples.")
    if max_seconds is not None and frames > max_seconds * form.rate:
        raise ValueError(
            f"{name} is too long: {frames / form.rate:.1f} seconds, and at most {max_seconds:g} "
            "are read. Cut the recording into words."
        )
    content = np.frombuffer(file.read(frames * frame), "uint8")
    samples = _convert(content, form).reshape(frames, form.channels)
    try:
        return Waveform(samples, form.rate)
    except ValueError as error:  # NaN, or floats that are not scaled
        raise ValueError(f"{name} cannot be read: {error}") from error


def _convert(content: np.ndarray, form: _Format) -> np.ndarray:
    """Return the bytes of samples as numbers that `Waveform` scales."""
    if form.encoding == _FLOAT:
        return content.view(f"<f{form.bits // 8}")
    if form.bits == 24:  # as the upper bytes of 32 bits
        wide = np.zeros((len(content) // 3, 4), "uint8")
        wide[:, 1:] = content.reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype("int32")
    if form.bits == 8:
        return content
    return content.view(f"<i{form.bits // 8}").astype(f"int{form.bits}")
