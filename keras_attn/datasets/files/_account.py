"""An account of a file: what was kept of it, and what was left out and why."""

import dataclasses
from collections.abc import Mapping, Sequence

_LINES_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Rows that were left out for one reason.

    Attributes:
        count: how many.
        lines: the lines on which the first few start; the first line of a file is 1.
    """

    count: int
    lines: tuple[int, ...]


def tally(lines: Mapping[str, Sequence[int]]) -> dict[str, Skipped]:
    """For each reason, how many lines were left out and which came first.

    Example:

    >>> tally({"empty text": [2, 3, 5, 7, 11, 13]})
    {'empty text': Skipped(count=6, lines=(2, 3, 5, 7, 11))}
    """
    return {
        reason: Skipped(len(found), tuple(found[:_LINES_SHOWN])) for reason, found in lines.items()
    }


@dataclasses.dataclass(frozen=True)
class Account:
    """What became of the rows of a file; `print` shows it.

    Attributes:
        path: the file, or both files.
        rows: rows read, without the header and blank lines.
        kept: rows kept; with those of `skipped`, they are all rows.
        skipped: for each reason that occurred, the rows left out.

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

    def __str__(self) -> str:
        left_out = self.rows - self.kept
        lines = [f"{self.path}: {self.rows:,} rows read, {self.kept:,} kept, {left_out:,} skipped."]
        lines += self._about_the_kept()
        if self.skipped:
            lines.append("Skipped:")
        for reason, skipped in self.skipped.items():
            shown = ", ".join(map(str, skipped.lines))
            more = ", ..." if skipped.count > len(skipped.lines) else ""
            word = "line" if skipped.count == 1 else "lines"
            lines.append(f"  {skipped.count:,} {reason} ({word} {shown}{more})")
        return "\n".join(lines)

    def _about_the_kept(self) -> list[str]:
        return []


@dataclasses.dataclass(frozen=True)
class TableAccount(Account):
    """What became of the rows of a table of labelled texts; `print` shows it.

    Attributes:
        path: the file.
        rows: rows read, without the header and blank lines.
        kept: rows kept; with those of `skipped`, they are all rows.
        skipped: for each reason that occurred, the rows left out.
        examples: how many rows were kept of each label.

    Example:

    >>> skipped = {"empty text": Skipped(2, (7, 31))}
    >>> print(TableAccount("mine.csv", 12, 10, skipped, {"bad": 9, "good": 1}))
    mine.csv: 12 rows read, 10 kept, 2 skipped.
    Examples: 'bad' 9, 'good' 1.
    Too few to learn or to measure: 'good' has fewer than 2.
    Skipped:
      2 empty text (lines 7, 31)
    """

    examples: Mapping[str, int]

    @property
    def rare(self) -> tuple[str, ...]:
        """Labels with fewer than 2 examples."""
        return tuple(name for name, count in self.examples.items() if count < 2)

    def _about_the_kept(self) -> list[str]:
        counts = ", ".join(f"{name!r} {count:,}" for name, count in self.examples.items())
        lines = [f"Examples: {counts or 'none'}."]
        if self.rare:
            verb = "has" if len(self.rare) == 1 else "have"
            rare = ", ".join(map(repr, self.rare))
            lines.append(f"Too few to learn or to measure: {rare} {verb} fewer than 2.")
        return lines
