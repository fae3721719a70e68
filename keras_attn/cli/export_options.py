"""Options of `keras-attn export` for its formats."""

import pathlib
import random
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn.recipes import TaskDescription

if TYPE_CHECKING:
    from keras_attn.tasks import Task

MAX_CALIBRATION = 500  # images

Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="saved_model for TensorFlow; onnx for ONNX Runtime; litert for LiteRT (TensorFlow "
        "Lite); ctranslate2 for CTranslate2. An unknown one lists those of the model.",
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="For sounds in litert: length of the waveform (default: 1)."
    ),
]
Quantization = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        help="For images in litert, with --calibration, and for ctranslate2: int8 (default: "
        "float32).",
    ),
]
Calibration = Annotated[
    pathlib.Path | None,
    typer.Option(
        metavar="FOLDER",
        help="For --quantization int8 in litert: folder of images such as the model will see; at "
        "most 500 are drawn.",
    ),
]


def files(task: TaskDescription, folder: pathlib.Path) -> list[Any]:
    """Return the input files in a folder, at most `MAX_CALIBRATION`, drawn with a fixed seed.

    Raises:
        ValueError: The task reads no files, or there are none in the folder.
    """
    list_files = getattr(task.table, "list_files", None)
    if list_files is None:
        raise ValueError(f"--calibration is a folder of images, and {task.name} reads none.")
    paths, _ = list_files(folder)
    if not paths:
        raise ValueError(f"--calibration needs a folder of images. {str(folder)!r} has none.")
    drawn = random.Random(0).sample(sorted(paths), min(MAX_CALIBRATION, len(paths)))
    return list(drawn)


def describe(model: "Task", name: str, path: pathlib.Path) -> str:
    """Return the line that says what was written, and what it reads."""
    chosen = model.description.export_format(name)
    if name == "saved_model":
        further = "".join(
            f"; signature {key}: {signature}"
            for key, signature in model.description.further_signatures.items()
        )
        return f"SavedModel: {path}  (signature serving_default: {model.signature}{further})"
    return f"{chosen.title}: {path}  (reads {chosen.reads})"
