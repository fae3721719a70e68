"""FSDD, the Free Spoken Digit Dataset: English digits by six speakers (Jackson et al.)."""

import functools
import lzma
import os
import pathlib
import re
import tarfile
from collections.abc import Iterator

import numpy as np

from keras_attn.datasets._tfds import find_file
from keras_attn.datasets.files.waveforms import decode_wav
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset
from keras_attn.datasets.waveforms import Waveform, WaveformSplit

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FOLDER, ARCHIVE, RECORDINGS = "fsdd", "recordings.tar.xz", "recordings"
# The recordings of a speaker and digit have indices from 0. By the authors, 0 to 4 are the test
# split, and all others the training split, from which the validation split is cut here.
INDICES = {"train": range(10, 1_000), "validation": range(5, 10), "test": range(5)}

_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[a-z]+)_(?P<index>[0-9]+)\.wav")
_DAMAGE = (tarfile.TarError, lzma.LZMAError, EOFError)


@register_dataset("fsdd", task="audio_classification", label_names=LABELS)
def load_fsdd(data_dir: str | os.PathLike[str] | None = None) -> Dataset[WaveformSplit]:
    """Open FSDD: the digits zero to nine, each spoken 50 times by six speakers, at 8 kHz.

    The test split is that of the authors, the recordings with an index below 5. The validation
    split is a choice of this library: those with an index from 5 to 9. All splits share the
    speakers, whom `WaveformSplit.speakers` names: for figures on unseen ones leave a speaker out.

    Args:
        data_dir: Folder of `recordings.tar.xz`, or of the folder `recordings`; or a folder with
            one of them in `fsdd/`. None means the environment's `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`.

    Returns:
        The splits `"train"` (2,400), `"validation"` (300) and `"test"` (300).

    Raises:
        DatasetNotFoundError: On access to a split, if the files are not on disk.
        ValueError: On access to a split, if a file is damaged.

    Example:

    >>> load_fsdd().label_names[:3]
    ('zero', 'one', 'two')
    """

    @functools.cache
    def recordings() -> dict[tuple[int, str, int], Waveform]:
        return _read(find_file("FSDD", FOLDER, (RECORDINGS, ARCHIVE), data_dir))

    @functools.cache
    def read(split: str) -> WaveformSplit:
        found = recordings()
        keys = sorted(key for key in found if key[2] in INDICES[split])
        return WaveformSplit(
            tuple(found[key] for key in keys),
            np.array([digit for digit, _, _ in keys], "int32"),
            tuple(speaker for _, speaker, _ in keys),
        )

    return Dataset("fsdd", LABELS, {split: functools.partial(read, split) for split in INDICES})


def _read(path: pathlib.Path) -> dict[tuple[int, str, int], Waveform]:
    """Return the recordings by digit, speaker and index."""
    result = {}
    try:
        for name, content in _files(path):
            if match := _NAME.fullmatch(name):
                key = (int(match["digit"]), match["speaker"], int(match["index"]))
                result[key] = decode_wav(content)
    except (*_DAMAGE, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    if not result:
        raise ValueError(f"{path} holds no recordings named as 7_jackson_32.wav.")
    return result


def _files(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each WAV file."""
    if path.is_dir():
        for file in sorted(path.glob("*.wav")):
            yield file.name, file.read_bytes()
        return
    with tarfile.open(path, "r:xz") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.name.endswith(".wav") else None
            if stream is not None:
                yield pathlib.PurePosixPath(member.name).name, stream.read()
