"""Reading and splitting of your own documents: text files, folders of them, and tables."""

import dataclasses
import os
import pathlib
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from keras_attn._wording import counted
from keras_attn.datasets.documents import DocumentSplit, document_split
from keras_attn.datasets.files._account import Account, tally
from keras_attn.datasets.files._encoding import decode, suggest_encodings_of
from keras_attn.datasets.files._splitting import (
    MIN_EXAMPLES,
    combine_splits,
    held_out_fractions,
    stratified_rows,
)
from keras_attn.datasets.files.columns import SUFFIXES, read_column
from keras_attn.datasets.splits import Dataset

PLAIN_SUFFIXES = (".txt", ".md", "")  # of a file that is one document
EMPTY, DUPLICATE = "empty", "exact duplicate"


class DocumentAccount(Account):
    """The numbers of documents that were kept and skipped. `print` shows a summary."""

    _unit: ClassVar[str] = "document"
    _places: ClassVar[tuple[str, str]] = ("", "")


@dataclasses.dataclass(frozen=True)
class DocumentTable:
    """Distinct documents of a user.

    Attributes:
        name: Name of the data set that `split_documents` returns.
        documents: The documents.
        account: The documents that were kept and skipped.
    """

    name: str
    documents: DocumentSplit
    account: DocumentAccount

    def __len__(self) -> int:
        return len(self.documents)


def read_documents(
    path: str | os.PathLike[str],
    *,
    text_column: str | int = "text",
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> DocumentTable:
    r"""Read documents to train a language model on, and report every one that is skipped.

    Documents keep their spaces and line breaks; `"\r\n"` becomes `"\n"`. Empty documents, and exact
    copies of earlier ones, are skipped.

    Args:
        path: A file `.txt` or `.md`, which is one document; a folder, in which each such file is a
            document, those of subfolders included; or a table `.csv`, `.tsv`, `.jsonl`, `.ndjson`
            or `.json` with a document per row.
        text_column: For tables, see `read_texts`.
        delimiter: For tables, see `read_texts`.
        quoting: For tables, see `read_texts`.
        header: For tables, see `read_texts`.
        encoding: See `read_texts`.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: There is no document that can be used, a file is not in the encoding, or its
            suffix is unknown.

    Example:

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("One fish,\ntwo fish.")
    >>> table = read_documents(folder / "a.txt")
    >>> table.documents
    DocumentSplit(1 document, 19 characters)
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")
    if path.is_dir():
        texts, notes = _read_folder(path, encoding)
    elif path.suffix.lower() in PLAIN_SUFFIXES:
        texts, notes = {path.name: _read_text(path, encoding)}, ()
    elif path.suffix.lower() in SUFFIXES:
        options = {"delimiter": delimiter, "quoting": quoting, "header": header}
        column = read_column(path, text_column, encoding=encoding, **options)  # type: ignore[arg-type]
        texts = {f"row {index + 1}": text for index, text in enumerate(column.texts)}
        notes = column.notes
    else:
        accepted = ", ".join(sorted({*SUFFIXES, *PLAIN_SUFFIXES} - {""}))
        raise ValueError(
            f"Documents are read from files {accepted}, and from folders of text files. Received: "
            f"{str(path)!r}."
        )
    return _select(path, texts, notes)


def split_documents(
    table: DocumentTable,
    *,
    validation: float | None = None,
    test: float | None = None,
    validation_data: DocumentTable | None = None,
    test_data: DocumentTable | None = None,
    seed: int = 0,
) -> Dataset[DocumentSplit]:
    """Return documents as a data set of training, validation and test splits.

    Fewer than 10 documents are each cut by their characters: the last part of a document is tested
    on, and the part before validates. Otherwise each document is in one split.

    Args:
        table: The documents, see `read_documents`.
        validation: Fraction in the validation split. [default: 0.1]
        test: Fraction in the test split; 0 for no test split. [default: 0.1]
        validation_data: The validation split in place of a fraction.
        test_data: The test split, likewise.
        seed: Integer that determines which documents are held out.

    Raises:
        ValueError: The fractions leave a split empty, or a fraction is given beside data for the
            same split.

    Example:

    >>> poems = document_split([f"Poem {number}" for number in range(20)])
    >>> table = DocumentTable("mine", poems, DocumentAccount("mine", 20, 20, {}))
    >>> {name: len(split) for name, split in split_documents(table).items()}
    {'train': 16, 'validation': 2, 'test': 2}
    """
    given = {"validation": validation_data, "test": test_data}
    fractions = held_out_fractions(
        validation, test, validation_data is not None, test_data is not None
    )
    documents = table.documents
    if len(documents) < MIN_EXAMPLES:
        splits = _cut_by_characters(documents.documents, *fractions)
    else:
        rows = stratified_rows(np.zeros(len(documents), int), 1, *fractions, seed)
        splits = {name: documents.take(part) for name, part in rows.items()}
    for name, other in given.items():
        if other is not None:
            splits[name] = other.documents
    for name, split in splits.items():
        if not split.characters:
            raise ValueError(
                f"The {name} split of {table.name!r} is empty: there are too few characters. Add "
                "documents, or hold out a larger fraction."
            )
    return combine_splits(
        table.name,
        (),
        splits,
        lambda split: list(split.documents),
        [name for name, other in given.items() if other is not None],
        "documents",
    )


def _cut_by_characters(
    documents: Iterable[str], validation: float, test: float
) -> dict[str, DocumentSplit]:
    """Cut each document into the parts of the splits, in this order."""
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for text in documents:
        first_test = round((1.0 - test) * len(text))
        first_validation = round((1.0 - test - validation) * len(text))
        parts["train"].append(text[:first_validation])
        parts["validation"].append(text[first_validation:first_test])
        parts["test"].append(text[first_test:])
    sizes = {"train": 1.0, "validation": validation, "test": test}
    return {name: document_split(texts) for name, texts in parts.items() if sizes[name] > 0}


def _read_folder(path: pathlib.Path, encoding: str | None) -> tuple[dict[str, str], tuple]:
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and not file.name.startswith(".")
        and file.suffix.lower() in PLAIN_SUFFIXES
    )
    others = sum(file.is_file() for file in path.rglob("*")) - len(files)
    if not files:
        raise ValueError(f"The folder {str(path)!r} holds no file .txt or .md.")
    texts = {
        str(file.relative_to(path)): "" if not file.stat().st_size else _read_text(file, encoding)
        for file in files
    }
    notes = (f"{counted(others, 'other file')} in the folder: not read.",) if others else ()
    return texts, notes


def _read_text(path: pathlib.Path, encoding: str | None) -> str:
    content = path.read_bytes()
    text, codec = decode(content, str(path), encoding)
    if (damaged := re.search("[\udc80-\udcff]", text)) is not None:
        line = text.count("\n", 0, damaged.start()) + 1
        advice = suggest_encodings_of(content) if encoding is None else "Give another encoding."
        raise ValueError(f"Line {line} of {path} is not {codec.upper()}. {advice}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _select(path: pathlib.Path, texts: dict[str, str], notes: tuple) -> DocumentTable:
    """Return the distinct documents that are not empty, with their account."""
    kept: dict[str, str] = {}
    skipped: dict[str, list[int | str]] = defaultdict(list)
    for name, text in texts.items():
        if not text.strip():
            skipped[EMPTY].append(name)
        elif text in kept:
            skipped[DUPLICATE].append(name)
        else:
            kept[text] = name
    documents = document_split(list(kept))
    notes += (f"{counted(documents.characters, 'character')} in all.",)
    account = DocumentAccount(str(path), len(texts), len(kept), tally(skipped), notes=notes)
    if not kept:
        raise ValueError(f"{path} has no document that can be used.\n{account}")
    return DocumentTable(path.stem, documents, account)
