"""Signatures of SavedModels, from which export, cards and commands are written."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a SavedModel.

    Attributes:
        name: Its name in the signature.
        dtype: A TensorFlow dtype, such as `"uint8"` or `"string"`.
        shape: Its shape; the sizes that vary are None.
        meaning: What it holds, in a few words.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    meaning: str

    def __str__(self) -> str:
        letters = iter("BHWDEF")
        sizes = [next(letters) if size is None else str(size) for size in self.shape]
        axes = f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
        return f"{self.name} {self.dtype} {axes}"


@dataclasses.dataclass(frozen=True)
class Signature:
    """The signature of a task's SavedModel, from which export, cards and commands are written.

    Example:

    >>> text = TensorInfo("texts", "string", (None,), "UTF-8")
    >>> str(Signature((text,), (TensorInfo("score", "float32", (None,), "a probability"),)))
    'texts string (B,) -> score float32 (B,)'
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def __str__(self) -> str:
        return " -> ".join(", ".join(map(str, side)) for side in (self.inputs, self.outputs))
