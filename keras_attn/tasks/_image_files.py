"""Image files in folders, as inputs of commands. Imports no Keras."""

import pathlib

from keras_attn._wording import counted
from keras_attn.datasets.files._account import tally
from keras_attn.datasets.files._label_folders import SUFFIXES, list_files


class ListsImages:
    """Base class of readers of images, whose inputs on the command line may be folders."""

    def list_files(self, folder: pathlib.Path) -> tuple[list[str], list[str]]:
        """Return the paths of all images in a folder and below it, and notes on other files.

        Raises:
            ValueError: There are no images.
        """
        images, others = list_files(folder)
        tallied = tally(others)
        notes = [
            f"{folder}: {counted(skipped.count, 'file')} left out: {reason}, such as "
            f"{skipped.lines[0]}."
            for reason, skipped in tallied.items()
        ]
        if not images:
            raise ValueError(
                f"The folder {str(folder)!r} holds no image: no file, here or in a folder below, "
                f"that ends in {', '.join(SUFFIXES)}."
            )
        return list(map(str, images)), notes
