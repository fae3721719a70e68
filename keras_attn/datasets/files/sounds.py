"""Reading and splitting of your own sounds, WAV files in a folder for each label."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_attn._wording import counted
from keras_attn.datasets.files._account import FolderAccount
from keras_attn.datasets.files._folder_tables import (
    ReadFile,
    Reasons,
    check_given,
    check_table,
    cut_folder,
    read_label_folders,
)
from keras_attn.datasets.files._label_folders import SOUNDS
from keras_attn.datasets.files.waveforms import decode_wav
from keras_attn.datasets.splits import Dataset
from keras_attn.datasets.waveforms import (
    MAX_SECONDS,
    MIN_SECONDS,
    UnusableSoundError,
    Waveform,
    WaveformSplit,
    check_duration,
)

REASONS = Reasons(
    "duplicate (the same samples as an earlier sound of the label)",
    "contradictory (the same samples with different labels; all of them)",
)


@dataclasses.dataclass(frozen=True, eq=False)
class WaveformTable:
    """Distinct sounds, each with the name of its label.

    Attributes:
        name: Name of the data set that `split_waveforms` returns.
        waveforms: The sounds.
        labels: The name of the label of each.
        label_names: The names of all labels.
        paths: The file of each sound, relative to the folder.
        parts: The split that the folder of each sound names: `"train"`, `"validation"`, `"test"`,
            or an empty string for all of them if the folder has no splits.
        account: The files that were kept and skipped.

    Raises:
        ValueError: The lengths differ, or a label is not in `label_names`.
    """

    name: str
    waveforms: tuple[Waveform, ...]
    labels: tuple[str, ...]
    label_names: tuple[str, ...]
    paths: tuple[str, ...]
    parts: tuple[str, ...]
    account: FolderAccount

    def __post_init__(self) -> None:
        check_table(self, len(self.waveforms), "sound")

    def __len__(self) -> int:
        return len(self.waveforms)

    def __repr__(self) -> str:
        return (
            f"WaveformTable({self.name!r}, {counted(len(self), 'sound')}, "
            f"labels: {self.account.describe_labels()})"
        )


def read_waveforms(
    folder: str | os.PathLike[str],
    *,
    label_names: Sequence[str] | None = None,
    min_seconds: float = MIN_SECONDS,
    max_seconds: float = MAX_SECONDS,
) -> WaveformTable:
    """Read a folder of WAV files that holds a folder for each label, and report skipped files.

    The folder may also hold `train`, `validation` (or `val`, `valid`, `dev`) and `test`, with a
    folder for each label in each of them. Files may be in sub-folders of their label's folder.
    Labels are the names of the folders, as `keras_attn.datasets.label_name` writes them. Files may
    have any rate and number of channels.

    A file is skipped, and reported, if

    - it or a folder above it is hidden (its name starts with a dot);
    - it is not a WAV file by its suffix, or `decode_wav` cannot read it;
    - it is silent, shorter than `min_seconds` (without zeros at its end), or longer than
      `max_seconds`;
    - its samples are those of an earlier file of the label: one must not be trained on and the
      other tested on;
    - its samples are those of a file of another label: all of them are skipped.

    Args:
        folder: The folder.
        label_names: The labels to keep, in the order of their indices; None means all labels of
            the folder, sorted.
        min_seconds: The shortest sound to keep, such as one analysis window of a model.
        max_seconds: The longest sound to keep.

    Returns:
        The sounds that were kept, in the order of their paths, with the account of all files.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: There are no folders of labels, folders of splits are beside others, the name
            of a folder is not UTF-8, or no file can be used.

    Example:

    >>> import pathlib, tempfile, wave
    >>> root = pathlib.Path(tempfile.mkdtemp(), "words")
    >>> for label, level in (("no", 10), ("yes", 200)):
    ...     (root / label).mkdir(parents=True)
    ...     with wave.open(str(root / label / "1.wav"), "wb") as file:
    ...         file.setparams((1, 2, 8000, 0, "NONE", ""))
    ...         file.writeframes(np.full(800, level, "<i2").tobytes())
    >>> table = read_waveforms(root)
    >>> table.waveforms[0], table.labels, table.paths
    (Waveform(0.10 s, 8,000 samples per second), ('no', 'yes'), ('no/1.wav', 'yes/1.wav'))
    """

    def read(paths: list[pathlib.Path]) -> list[ReadFile[Waveform]]:
        return [_read_file(path, min_seconds, max_seconds) for path in paths]

    table = read_label_folders(folder, SOUNDS, label_names, read, _describe, REASONS)
    return WaveformTable(waveforms=tuple(table.contents), **table.fields)


def split_waveforms(
    table: WaveformTable,
    *,
    validation: float | None = None,
    test: float | None = None,
    validation_data: WaveformTable | None = None,
    test_data: WaveformTable | None = None,
    seed: int = 0,
) -> Dataset[WaveformSplit]:
    """Return a table as a data set of training, validation and test splits.

    The cut is that of `keras_attn.datasets.split_images`, stratified by label. It knows nothing of
    speakers: to test on unseen ones put their files into a folder `test`.

    Args:
        table: The table, see `read_waveforms`.
        validation: Fraction of the examples of each label in the validation split. [default: 0.1]
        test: Fraction of the examples of each label in the test split; 0 for no test split.
            [default: 0.1]
        validation_data: The validation split, in place of a fraction.
        test_data: The test split, in place of a fraction.
        seed: Integer that determines the cut.

    Returns:
        A data set with the name of the table and the splits `"train"`, `"validation"` and
        `"test"`. If sounds of a given test split also occur in the other splits, a warning says
        how many, and a split `"test_unseen"` holds the others.

    Raises:
        ValueError: The fractions leave a split empty, a split is given twice, there are too few
            examples or labels, or given data has other labels.

    Example:

    >>> sounds = tuple(Waveform(np.full(80, 0.01 * n), 8_000) for n in range(1, 21))
    >>> account = FolderAccount("words", 20, 20, {}, {"no": 10, "yes": 10})
    >>> labels, none = ("no", "yes"), ("",) * 20
    >>> table = WaveformTable("words", sounds, labels * 10, labels, none, none, account)
    >>> {name: len(split) for name, split in split_waveforms(table, test=0.2).items()}
    {'train': 14, 'validation': 2, 'test': 4}
    """

    def given_split(name: str, other: WaveformTable) -> WaveformSplit:
        check_given(name, other, table)
        return make_waveform_split(other, table.label_names)

    return cut_folder(
        table,
        make_waveform_split(table, table.label_names),
        given_split,
        lambda split: [_digest(waveform) for waveform in split.waveforms],
        "sounds",
        validation=validation,
        test=test,
        validation_data=validation_data,
        test_data=test_data,
        seed=seed,
    )


def make_waveform_split(table: WaveformTable, label_names: Sequence[str]) -> WaveformSplit:
    """Return all sounds of a table, with labels as indices into `label_names`."""
    index = {name: number for number, name in enumerate(label_names)}
    labels = np.array([index[label] for label in table.labels], "int32")
    return WaveformSplit(table.waveforms, labels)


def _read_file(path: pathlib.Path, min_seconds: float, max_seconds: float) -> ReadFile[Waveform]:
    try:
        waveform = decode_wav(path, max_seconds=max_seconds)
        check_duration(waveform, repr(str(path)), min_seconds, max_seconds)
    except UnusableSoundError as error:
        return ReadFile(None, problem=error.reason, error=str(error))
    except OSError as error:
        return ReadFile(None, problem="unreadable", error=str(error))
    return ReadFile(waveform, _digest(waveform))


def _digest(waveform: Waveform) -> bytes:
    digest = hashlib.sha256(str(waveform.rate).encode())
    digest.update(np.ascontiguousarray(waveform.samples).data)
    return digest.digest()


def _describe(waveforms: Sequence[Waveform]) -> tuple[str, ...]:
    """Return a sentence on rates and durations."""
    if not waveforms:
        return ()
    rates = sorted({waveform.rate for waveform in waveforms})
    seconds = [waveform.seconds for waveform in waveforms]
    written = " to ".join(f"{rate:,}" for rate in dict.fromkeys((rates[0], rates[-1])))
    return (
        f"Sounds of {min(seconds):.2f} to {max(seconds):.2f} seconds, at {written} samples per "
        "second.",
    )
