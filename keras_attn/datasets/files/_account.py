"""The account of a file that was read: rows kept, and rows skipped by reason."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

from keras_attn._wording import MAX_LISTED, SHOWN, counted, listed

_MAX_LINES = 5  # line numbers, or files, that are kept for each reason


@dataclasses.dataclass(frozen=True)
class Skipped:
    """The rows, or files, that were skipped for one reason.

    Attributes:
        count: Number of rows.
        lines: Numbers of the lines on which the first of them start, counted from 1; or the
            first of the files.
    """

    count: int
    lines: tuple[int | str, ...]


def tally(lines: Mapping[str, Sequence[int | str]]) -> dict[str, Skipped]:
    """Return the `Skipped` rows of each reason.

    Args:
        lines: For each reason the numbers of the lines of skipped rows, or the files, in order.

    Example:

    >>> tally({"empty text": [2, 3, 5, 7, 11, 13]})
    {'empty text': Skipped(count=6, lines=(2, 3, 5, 7, 11))}
    """
    return {
        reason: Skipped(len(numbers), tuple(numbers[:_MAX_LINES]))
        for reason, numbers in lines.items()
    }


@dataclasses.dataclass(frozen=True)
class Account:
    """The numbers of rows of a file that were kept and skipped. `print` shows a summary.

    Attributes:
        path: The file, or both files.
        rows: Number of rows read, without the header and blank lines.
        kept: Number of rows kept. The others are in `skipped`.
        skipped: The skipped rows of each reason that occurred.
        notes: Sentences on how the file was read, and on what in it looks wrong.

    Example:

    >>> print(Account("mine.tsv", 12, 11, {"empty target": Skipped(1, (7,))}))
    mine.tsv: 12 rows read, 11 kept, 1 skipped.
    Skipped:
      1 empty target (line 7)
    """

    path: str
    rows: int
    kept: int
    skipped: Mapping[str, Skipped]
    notes: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    _unit: ClassVar[str] = "row"
    _places: ClassVar[tuple[str, str]] = ("line ", "lines ")

    def __str__(self) -> str:
        skipped_rows = self.rows - self.kept
        lines = [
            f"{self.path}: {counted(self.rows, self._unit)} read, {self.kept:,} kept, "
            f"{skipped_rows:,} skipped."
        ]
        lines += self.notes
        lines += self._describe_kept()
        if self.skipped:
            lines.append("Skipped:")
        for reason, skipped in self.skipped.items():
            shown = ", ".join(map(str, skipped.lines))
            more = ", ..." if skipped.count > len(skipped.lines) else ""
            word = self._places[skipped.count > 1]
            lines.append(f"  {skipped.count:,} {reason} ({word}{shown}{more})")
        return "\n".join(lines)

    def _describe_kept(self) -> list[str]:
        return []


@dataclasses.dataclass(frozen=True)
class TableAccount(Account):
    """The account of a table of labelled texts, see `Account`. `print` shows a summary.

    Attributes:
        path: The file.
        rows: Number of rows read, without the header and blank lines.
        kept: Number of rows kept. The others are in `skipped`.
        skipped: The skipped rows of each reason that occurred.
        examples: Number of rows kept of each label.
        notes: Sentences on how the file was read, and on what in it looks wrong.

    Example:

    >>> skipped = {"empty text": Skipped(2, (7, 31))}
    >>> print(TableAccount("mine.csv", 12, 10, skipped, {"bad": 9, "good": 1}))
    mine.csv: 12 rows read, 10 kept, 2 skipped.
    Examples: 'bad' 9, 'good' 1.
    The label 'good' has fewer than 2 examples, too few to learn it or to test it. Add examples.
    Skipped:
      2 empty text (lines 7, 31)
    """

    examples: Mapping[str, int]

    @property
    def rare(self) -> tuple[str, ...]:
        """The labels with fewer than 2 examples."""
        return tuple(name for name, count in self.examples.items() if count < 2)

    def describe_labels(self) -> str:
        """Return the labels with their numbers of examples; a long list is cut."""
        counts = [f"{name!r} {count:,}" for name, count in self.examples.items()]
        if len(counts) > MAX_LISTED:
            ordered = sorted(self.examples, key=lambda name: self.examples[name])
            least, most = (
                f"{self.examples[name]:,} of {name!r}" for name in ordered[:: len(ordered) - 1]
            )
            counts[SHOWN:] = [f"... ({len(counts):,} labels, from {least} to {most})"]
        return ", ".join(counts) or "none"

    def _describe_kept(self) -> list[str]:
        lines = [f"Examples: {self.describe_labels()}."]
        if self.rare:
            subject, verb, label = "The label", "has", "it"
            if len(self.rare) > 1:
                subject, verb, label = "The labels", "have", "them"
            lines.append(
                f"{subject} {listed(self.rare, 'labels')} {verb} fewer than 2 examples, too few to "
                f"learn {label} or to test {label}. Add examples."
            )
        return lines


class FolderAccount(TableAccount):
    """The account of a folder of images, see `TableAccount`: of files in place of rows.

    Example:

    >>> print(FolderAccount("pets", 9, 8, {"hidden": Skipped(1, (".DS_Store",))}, {"cat": 8}))
    pets: 9 files read, 8 kept, 1 skipped.
    Examples: 'cat' 8.
    Skipped:
      1 hidden (.DS_Store)
    """

    _unit = "file"
    _places = ("", "")
