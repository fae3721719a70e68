"""Signatures of SavedModels."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a SavedModel.

    Attributes:
        name: Its name in the signature.
        dtype: A TensorFlow dtype, such as `"uint8"` or `"string"`.
        axes: Its axes, such as `("B", "H", "W", 3)`; letters stand for sizes that vary.
        meaning: Its meaning, in a few words.

    Example:

    >>> images = TensorInfo("images", "uint8", ("B", "H", "W", 3), "RGB images")
    >>> str(images), images.shape
    ('images uint8 (B, H, W, 3)', (None, None, None, 3))
    """

    name: str
    dtype: str
    axes: tuple[str | int, ...]
    meaning: str

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape, with None for sizes that vary."""
        return tuple(axis if isinstance(axis, int) else None for axis in self.axes)

    def __str__(self) -> str:
        comma = "," if len(self.axes) == 1 else ""
        return f"{self.name} {self.dtype} ({', '.join(map(str, self.axes))}{comma})"


@dataclasses.dataclass(frozen=True)
class Signature:
    """The signature of a task's SavedModel, which export, cards and commands read.

    Attributes:
        inputs: The inputs.
        outputs: The outputs.

    Example:

    >>> text = TensorInfo("texts", "string", ("B",), "UTF-8")
    >>> str(Signature((text,), (TensorInfo("score", "float32", ("B",), "a probability"),)))
    'texts string (B,) -> score float32 (B,)'
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def __str__(self) -> str:
        return " -> ".join(", ".join(map(str, side)) for side in (self.inputs, self.outputs))
