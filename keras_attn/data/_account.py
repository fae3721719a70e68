"""An account of a table: what was kept of it, and what was left out and why."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Rows that were left out for one reason.

    Attributes:
        count: how many.
        lines: the lines on which the first few start; the first line of a file is 1.
    """

    count: int
    lines: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class TableAccount:
    """What became of the rows of a table; `print` shows it.

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

    path: str
    rows: int
    kept: int
    skipped: Mapping[str, Skipped]
    examples: Mapping[str, int]

    @property
    def rare(self) -> tuple[str, ...]:
        """Labels with fewer than 2 examples."""
        return tuple(name for name, count in self.examples.items() if count < 2)

    def __str__(self) -> str:
        left_out = self.rows - self.kept
        lines = [f"{self.path}: {self.rows:,} rows read, {self.kept:,} kept, {left_out:,} skipped."]
        counts = ", ".join(f"{name!r} {count:,}" for name, count in self.examples.items())
        lines.append(f"Examples: {counts or 'none'}.")
        if self.rare:
            verb = "has" if len(self.rare) == 1 else "have"
            rare = ", ".join(map(repr, self.rare))
            lines.append(f"Too few to learn or to measure: {rare} {verb} fewer than 2.")
        if self.skipped:
            lines.append("Skipped:")
        for reason, skipped in self.skipped.items():
            shown = ", ".join(map(str, skipped.lines))
            more = ", ..." if skipped.count > len(skipped.lines) else ""
            word = "line" if skipped.count == 1 else "lines"
            lines.append(f"  {skipped.count:,} {reason} ({word} {shown}{more})")
        return "\n".join(lines)
