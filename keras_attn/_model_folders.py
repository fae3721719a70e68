"""Folders that `save_to_preset` writes: their files, and the manifest that they are checked by.

Such a folder can be uploaded to a hub of models as it is. It holds the configuration of the model
as Keras writes it, metadata of the library, the weights, assets such as a vocabulary, a card,
and the manifest: the size and the SHA-256 of every other file.
"""

import json
import pathlib
import re
from typing import Any, NamedTuple

from keras_attn._files import read_json_object, sha256, write_text
from keras_attn._wording import listed

MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "config.json"
METADATA_FILE = "metadata.json"
CARD_FILE = "README.md"
WEIGHTS_FILES = {"h5": "model.weights.h5", "safetensors": "model.safetensors"}
FORMAT = 1  # of the folder; it grows when an older version could not read it
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # no folder, no hidden file
_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileInfo(NamedTuple):
    """Size and digest of a file, as the manifest says them.

    Attributes:
        bytes: Size of the file.
        sha256: Its SHA-256, in hexadecimal.
    """

    bytes: int
    sha256: str


def is_model_folder(path: pathlib.Path) -> bool:
    """Return whether a folder has the manifest of a folder that `save_to_preset` wrote."""
    return (path / MANIFEST_FILE).is_file()


def write_manifest(folder: pathlib.Path) -> None:
    """Write the manifest of all files in a folder."""
    files = {
        path.name: FileInfo(path.stat().st_size, sha256(path))._asdict()
        for path in sorted(folder.iterdir())
    }
    content = {"format": FORMAT, "files": files}
    write_text(folder / MANIFEST_FILE, json.dumps(content, indent=2))


def read_manifest(path: pathlib.Path, digest: str | None = None) -> dict[str, FileInfo]:
    """Return the files that a manifest lists, without the card, which is not read.

    Args:
        path: The manifest.
        digest: The SHA-256 that it must have, or None.

    Raises:
        FileNotFoundError: There is no manifest.
        ValueError: The manifest has another digest, is damaged, is of a newer format, or names a
            file outside of its folder.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{str(path.parent)!r} holds no {MANIFEST_FILE}: `save_to_preset` of a model of this "
            "package did not write it. Load folders that Keras wrote by keras.saving.load_model."
        )
    if digest is not None:
        check_digest(path, digest)
    content = read_json_object(path)
    _check_format(content.get("format"), path)
    listing = content.get("files")
    if not isinstance(listing, dict):
        raise ValueError(f"{path} is damaged: `files` must be an object. It is: {listing!r}.")
    files = {name: _file_info(name, entry, path) for name, entry in listing.items()}
    files.pop(CARD_FILE, None)  # hubs let people edit the card
    weights = [name for name in WEIGHTS_FILES.values() if name in files]
    if len(weights) != 1 or not {CONFIG_FILE, METADATA_FILE} <= set(files):
        raise ValueError(
            f"{path} must list {CONFIG_FILE}, {METADATA_FILE} and one file of weights, "
            f"{' or '.join(WEIGHTS_FILES.values())}. It lists: {listed(sorted(files), 'files')}."
        )
    return files


def check_files(folder: pathlib.Path, files: dict[str, FileInfo]) -> None:
    """Raise unless every file of a manifest is in the folder, with its size and digest.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file has another size or digest.
    """
    for name, info in files.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{str(folder)!r} lacks {name}, which {MANIFEST_FILE} lists. {_AGAIN}"
            )
        if (size := path.stat().st_size) != info.bytes:
            raise ValueError(
                f"{path} is damaged: it has {size:,} bytes, and {MANIFEST_FILE} says "
                f"{info.bytes:,}. {_AGAIN}"
            )
        if (received := sha256(path)) != info.sha256:
            raise ValueError(
                f"{path} is damaged or was changed: its SHA-256 is {received}, and "
                f"{MANIFEST_FILE} says {info.sha256}. {_AGAIN}"
            )


_AGAIN = "Copy or download the folder again, or save the model again."


def weights_file(files: dict[str, FileInfo]) -> str:
    """Return the name of the file of weights in a checked manifest."""
    return next(name for name in WEIGHTS_FILES.values() if name in files)


def check_digest(path: pathlib.Path, digest: str) -> None:
    """Raise ValueError unless a file has the SHA-256 that the argument `sha256` says."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest.lower()):
        raise ValueError(
            f"`sha256` must be the 64 hexadecimal digits of {path.name}. Received: {digest!r}."
        )
    if (received := sha256(path)) != digest.lower():
        raise ValueError(
            f"{path} is not the file that `sha256` pins: its SHA-256 is {received}, and `sha256` "
            f"is {digest}. Pass the digest of the version that you checked, and its revision."
        )


def _check_format(number: Any, path: pathlib.Path) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(
            f"{path} is not a manifest of this package: `format` must be {FORMAT}. It is: "
            f"{number!r}."
        )
    if number > FORMAT:
        raise ValueError(
            f"{path} is of format {number}, written by a newer version of keras_attn; this version "
            f"reads format {FORMAT}. Update: pip install -U keras-attn."
        )


def _file_info(name: str, entry: Any, path: pathlib.Path) -> FileInfo:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{path} names a file {name!r}, which is not the name of a file in its folder. Do not "
            "load this folder: files outside of it are never read."
        )
    size, digest = (entry.get(key) if isinstance(entry, dict) else None for key in FileInfo._fields)
    if type(size) is not int or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(
            f"{path} is damaged: {name} must have `bytes` and `sha256`. It has: {entry!r}."
        )
    return FileInfo(size, digest)
