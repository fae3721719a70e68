"""Reading of one column of a table, such as texts to be answered."""

import dataclasses
import os
import pathlib

from keras_attn._wording import counted
from keras_attn.datasets.files._rows import EMPTY, Columns, Format
from keras_attn.datasets.files._tables import DELIMITERS, JSON_LINES, read_rows

SUFFIXES = (*DELIMITERS, *JSON_LINES)


@dataclasses.dataclass(frozen=True)
class TextColumn:
    """The texts of a column, one for each row of the table, in order; blank lines are no rows.

    Attributes:
        path: The file.
        texts: The text of each row; an empty string for a row that cannot be read.
        problems: Why rows cannot be read, by their index in `texts`, with the number of the line.
        notes: Sentences on how the file was read, and on what in it looks wrong.
    """

    path: str
    texts: tuple[str, ...]
    problems: dict[int, str]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        unread = f", {len(self.problems):,} of them cannot be read" if self.problems else ""
        return "\n".join([f"{self.path}: {counted(len(self.texts), 'row')}{unread}.", *self.notes])


def read_column(
    path: str | os.PathLike[str],
    column: str | int,
    *,
    argument: str = "text_column",
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> TextColumn:
    r"""Read a column of a table as `read_texts` does, but keep every row.

    Args:
        path: A file, as for `keras_attn.datasets.read_texts`.
        column: The column: its name, or its number, counted from 1.
        argument: Name of the argument that selects the column, for messages.
        delimiter: See `keras_attn.datasets.read_texts`.
        quoting: See `keras_attn.datasets.read_texts`.
        header: See `keras_attn.datasets.read_texts`.
        encoding: See `keras_attn.datasets.read_texts`.

    Raises:
        FileNotFoundError, ValueError: See `keras_attn.datasets.read_texts`.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "new.csv")
    >>> _ = path.write_text('id,text\n1,"Tea, please."\n2,\n3\n')
    >>> column = read_column(path, "text")
    >>> column.texts
    ('Tea, please.', '', '')
    >>> column.problems
    {2: 'Line 4 of new.csv: ragged (another number of fields than the header).'}
    """
    path = pathlib.Path(path)
    columns = Columns(column, None, (argument,))
    rows, notes = read_rows(path, columns, Format(delimiter, quoting, header, encoding))
    problems = {
        index: f"Line {row.line} of {path.name}: {row.problem}."
        for index, row in enumerate(rows)
        if row.problem not in (None, EMPTY)
    }
    return TextColumn(str(path), tuple(row.text for row in rows), problems, notes)
