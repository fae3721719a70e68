"""A builder of Multi30k for TensorFlow Datasets (TFDS), which does not have this data set.

Prepare it from the internet, or from a folder of the published files, with

    python -m keras_attn.datasets.multi30k_builder [--from FOLDER] [--data-dir DIR]

Then `keras_attn.datasets.load("multi30k_en_de")` finds it, and so does `tfds.load("multi30k")`.
"""

import os
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any

import tensorflow_datasets as tfds
import typer

from keras_attn.datasets._tfds import tfds_folder
from keras_attn.datasets.multi30k import (
    CHECKSUMS,
    LANGUAGES,
    SPLITS,
    URL,
    check_parallel,
    file_name,
    is_translated,
    read_sentences,
)


class Multi30k(tfds.core.GeneratorBasedBuilder):
    """Image captions in four languages, in the published order.

    An example is a dictionary with a sentence in each language: `en`, `de`, `fr` and `cs`. The
    splits `test_2017` and `test_coco` were not translated into Czech: there `cs` is empty.

    The published files are read from the folder `manual_dir` of the download settings of TFDS
    if they are in it, and are downloaded otherwise. Their checksums are compared in both cases.

    Raises:
        FileNotFoundError: `manual_dir` contains only some of the files.
        ValueError: A file is not the published one.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The files of task 1, raw."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"The .gz files of {URL}, or nothing: they are downloaded."

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Image captions in English, translated into German, French and Czech.",
            features=tfds.features.Translation(languages=LANGUAGES),
            homepage="https://github.com/multi30k/dataset",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = _manual_folder(dl_manager)
        if folder is None:
            paths = dl_manager.download({name: URL + name for name in CHECKSUMS})
        else:
            paths = find_files(folder)
        return {split: self._generate_examples(split, paths) for split in SPLITS}

    def _generate_examples(
        self, split: str, paths: dict[str, pathlib.Path]
    ) -> Iterator[tuple[int, dict[str, str]]]:
        sentences = {}
        for language in LANGUAGES:
            if is_translated(split, language):
                name = file_name(split, language)
                sentences[language] = read_sentences(paths[name], name)
        check_parallel(sentences)
        for index, row in enumerate(zip(*sentences.values(), strict=True)):
            yield index, dict.fromkeys(LANGUAGES, "") | dict(zip(sentences, row, strict=True))


def _manual_folder(dl_manager: Any) -> pathlib.Path | None:
    """Return the folder of manually downloaded files, or None if it has none of them."""
    try:
        folder = pathlib.Path(dl_manager.manual_dir)
    except AssertionError:  # TFDS raises it if the folder does not exist or is empty
        return None
    # The default folder is shared by all data sets, and may have files of others only.
    return folder if any((folder / name).is_file() for name in CHECKSUMS) else None


def find_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the paths of the published files in a folder, by their names.

    Raises:
        FileNotFoundError: Some of the files are missing.
    """
    paths = {name: folder / name for name in CHECKSUMS}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of the {len(paths)} files of Multi30k: "
            f"{', '.join(missing)}. Copy them there from {URL}"
        )
    return paths


def prepare(
    folder: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Write the data set, unless it is already prepared.

    Args:
        folder: Folder of the published files; None downloads them.
        data_dir: Folder of TensorFlow Datasets to write to; None means the environment's
            `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Raises:
        FileNotFoundError: `folder` lacks some of the files.
        ValueError: A file is not the published one.
    """
    if folder is not None:
        find_files(pathlib.Path(folder))  # before anything is written
    config = tfds.download.DownloadConfig(
        manual_dir=None if folder is None else os.fspath(folder), try_download_gcs=False
    )
    builder = Multi30k(data_dir=os.fspath(tfds_folder(data_dir)))
    builder.download_and_prepare(download_config=config)


def main(
    folder: Annotated[
        pathlib.Path | None,
        typer.Option("--from", help="Folder of the published .gz files (default: download them)."),
    ] = None,
    data_dir: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Folder of TensorFlow Datasets to write to (default: $TFDS_DATA_DIR, or "
            "~/tensorflow_datasets)."
        ),
    ] = None,
) -> None:
    """Prepare Multi30k for TensorFlow Datasets."""
    try:
        prepare(folder, data_dir)
    except (FileNotFoundError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"Multi30k is in {tfds_folder(data_dir)}.")


if __name__ == "__main__":
    typer.run(main)
