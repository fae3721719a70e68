"""Formats of exported models, as the descriptions of tasks declare them. Imports no Keras."""

import dataclasses
import pathlib
from collections.abc import Mapping

from keras_attn._folders import check_new_folder

# Reasons why models of several tasks lack a format, for `TaskDescription.refused_formats`.
NO_CTRANSLATE2 = "CTranslate2 runs Transformers that translate. Use 'onnx' or 'saved_model'."


@dataclasses.dataclass(frozen=True)
class ExportFormat:
    """A format that `Task.export` writes.

    Attributes:
        title: Its name in messages, such as `"LiteRT"`.
        reads: The input of such a model, in a few words.
        options: Names of the options of `Task.export` in this format.
        suffix: Ending of the name of its file, such as `".tflite"`; empty for a folder.

    Example:

    >>> litert = ExportFormat("LiteRT", "an image", suffix=".tflite")
    >>> litert.check_path(pathlib.Path("model.onnx"))
    Traceback (most recent call last):
    ValueError: The name of a LiteRT model must end in '.tflite'. Received: 'model.onnx'.
    """

    title: str
    reads: str
    options: tuple[str, ...] = ()
    suffix: str = ""

    def check_path(self, path: pathlib.Path) -> None:
        """Raise unless a model of this format can be written to a path.

        Raises:
            ValueError: It must be a file, whose name ends in `suffix`.
            FileExistsError: It must be a folder, and exists and is not an empty folder.
        """
        if not self.suffix:
            check_new_folder(path)
        elif path.suffix != self.suffix or path.is_dir():
            raise ValueError(
                f"The name of a {self.title} model must end in {self.suffix!r}. Received: "
                f"{str(path)!r}{', a folder' if path.is_dir() else ''}."
            )


def refusal(
    task: str, name: str, formats: Mapping[str, ExportFormat], reasons: Mapping[str, str]
) -> str:
    """Return the message for a format that the models of a task do not have.

    Args:
        task: Name of the task.
        name: The format that was requested.
        formats: The formats of the task.
        reasons: The reason, and the nearest format, for formats that other tasks have.
    """
    accepted = ", ".join(map(repr, formats))
    if name == "tf_saved_model":  # as Keras names it
        return f"Keras's format {name!r} is named 'saved_model' here. Accepted: {accepted}."
    reason = reasons.get(name, "")
    if reason:
        return f"Models for {task} have no format {name!r}: {reason} Accepted: {accepted}."
    return f"Unknown `format` for {task}. Received: {name!r}. Accepted: {accepted}."
