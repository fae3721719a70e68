"""Search of the image or sound files in a folder with a sub-folder for each label."""

import dataclasses
import os
import pathlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp")
OTHER_FORMATS = (".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".ico", ".psd")
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip

HIDDEN = "hidden"
NOT_IMAGE = "not an image by its suffix"
OTHER_FORMAT = "in a format that is not read; convert to PNG or JPEG"
NO_CLASS = "outside the folders of labels"


@dataclasses.dataclass(frozen=True)
class FileKind:
    """The files that are searched for, and why others are left out.

    Attributes:
        example: Noun for one of them.
        examples: Its plural.
        suffixes: Suffixes of files that are read.
        others: Suffixes of the same kind that are not read.
        not_of_kind: Why a file with another suffix is left out.
        other_format: Why a file with a suffix in `others` is left out.
    """

    example: str
    examples: str
    suffixes: tuple[str, ...]
    others: tuple[str, ...]
    not_of_kind: str
    other_format: str


IMAGES = FileKind("image", "images", SUFFIXES, OTHER_FORMATS, NOT_IMAGE, OTHER_FORMAT)
SOUNDS = FileKind(
    "sound",
    "sounds",
    (".wav", ".wave"),
    (".mp3", ".ogg", ".oga", ".opus", ".flac", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".au"),
    "not a WAV file by its suffix",
    "in a format that is not read; convert to WAV",
)


class LabelFile(NamedTuple):
    """A file: its path, the split that its folder names (or ""), and its label's folder."""

    path: pathlib.Path
    part: str
    folder: str


class FoundFiles(NamedTuple):
    """The files of a kind in a folder, other files by reason, and the names of label folders."""

    files: list[LabelFile]
    others: dict[str, list[str]]
    folders: list[str]


def find_files(root: pathlib.Path, kind: FileKind = IMAGES) -> FoundFiles:
    """Return the files of a folder, in a fixed order.

    Args:
        root: The folder.
        kind: The files to search for.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It has no folders of labels, or folders of splits beside others.
    """
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise FileNotFoundError(
            f"{kind.examples.capitalize()} are read from a folder that holds a folder for each "
            f"label. {str(root)!r} {state}."
        )
    files: list[LabelFile] = []
    others: dict[str, list[str]] = defaultdict(list)
    all_labels: set[str] = set()
    for part, folder in _parts(root).items():
        labels = _folders(folder)
        if not labels:
            raise ValueError(
                f"{folder} must hold a folder of {kind.examples} for each label, such as "
                f"{folder}/cat and {folder}/dog. It holds no folders."
            )
        all_labels.update(labels)
        for path in sorted(folder.iterdir()):
            if path.name not in labels:
                others[_problem(path.name, kind) or NO_CLASS].append(_show(path, root))
        for label in labels:
            for path in _walk(folder / label):
                hidden = any(map(_is_hidden, path.relative_to(folder).parts))
                if problem := HIDDEN if hidden else _problem(path.name, kind):
                    others[problem].append(_show(path, root))
                else:
                    files.append(LabelFile(path, part, label))
    return FoundFiles(files, dict(others), sorted(all_labels))


def list_files(
    folder: pathlib.Path, kind: FileKind = IMAGES
) -> tuple[list[pathlib.Path], dict[str, list[str]]]:
    """Return the files of a kind in a folder and below it, and other files by reason.

    Hidden files and folders are neither; the order is fixed.

    Args:
        folder: A folder that exists.
        kind: The files to list.
    """
    files: list[pathlib.Path] = []
    others: dict[str, list[str]] = defaultdict(list)
    for path in _walk(folder):
        hidden = any(map(_is_hidden, path.relative_to(folder).parts))
        problem = HIDDEN if hidden else _problem(path.name, kind)
        if problem is None:
            files.append(path)
        elif problem != HIDDEN:
            others[problem].append(_show(path, folder))
    return files, dict(others)


def _parts(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the folders of the splits by name, or the root as that of no split."""
    folders = _folders(root)
    # A folder of images is one of a label, whatever its name; those of splits hold folders.
    splits = [name for name in folders if name.lower() in SPLIT_NAMES and _folders(root / name)]
    parts: dict[str, pathlib.Path] = {}
    for name in splits:
        part = SPLIT_NAMES[name.lower()]
        if part in parts:
            raise ValueError(f"{root} has two folders for one split: {parts[part].name}, {name}.")
        parts[part] = root / name
    if "train" not in parts:
        return {"": root}
    if labels := [name for name in folders if name not in splits]:
        raise ValueError(
            f"{root} has folders of splits, {', '.join(splits)}, beside others: "
            f"{', '.join(labels[:5])}. Give a folder that holds either splits or labels."
        )
    return parts


def _folders(folder: pathlib.Path) -> list[str]:
    """Return the names of the visible folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not _is_hidden(e.name))


def _walk(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield all files below a folder in a fixed order; links that lead upwards end."""
    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        status = pathlib.Path(where).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (pathlib.Path(where, name) for name in sorted(names))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _problem(name: str, kind: FileKind) -> str | None:
    """Return why a file is not of a kind by its name, or None."""
    suffix = pathlib.PurePath(name).suffix.lower()
    if _is_hidden(name):
        return HIDDEN
    if suffix in kind.others:
        return kind.other_format
    return None if suffix in kind.suffixes else kind.not_of_kind


def _show(path: pathlib.Path, root: pathlib.Path) -> str:
    """Return a path for messages; bytes that are not UTF-8 become question marks."""
    return os.fsencode(path.relative_to(root)).decode("utf-8", "replace")


def show_paths(paths: Sequence[pathlib.Path], root: pathlib.Path) -> list[str]:
    """Return paths below a folder for messages."""
    return [_show(path, root) for path in paths]
