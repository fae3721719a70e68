"""Checks of folders that are about to be written."""

import pathlib


def is_new(folder: pathlib.Path) -> bool:
    """Return whether a folder does not exist or is empty."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def check_new_folder(folder: pathlib.Path) -> None:
    """Raise FileExistsError unless a model can be exported to a folder: a new or an empty one."""
    if not is_new(folder):
        raise FileExistsError(
            f"Export writes a new folder, and {str(folder)!r} exists and is not an empty folder. "
            "Choose another path (serving systems count versions: serving/1, serving/2), or "
            "remove it first."
        )
