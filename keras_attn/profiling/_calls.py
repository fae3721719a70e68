"""Shapes with which a functional model calls its layers."""

import inspect
from typing import Any

import keras

Shape = tuple[int, ...]


def calls(model: keras.Model, shapes: list[Shape]) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Return all calls of a functional model for inputs of the shapes, in topological order.

    Returns:
        For each call of a layer or of an operation of `keras.ops` a tuple of the layer or
        operation, its first argument, and its other arguments by name, with shapes in place of
        tensors. A layer that is called twice has two entries.
    """
    recorded: list[tuple[Any, Any, dict[str, Any]]] = []
    inputs = [
        keras.Input(batch_shape=shape, dtype=x.dtype)
        for shape, x in zip(shapes, model.inputs, strict=True)
    ]
    keras.models.clone_model(
        keras.Model(model.inputs, model.outputs),  # neither compiled nor of a subclass
        input_tensors=inputs,
        clone_function=lambda operation: _RecordingOperation(operation, recorded),
    )
    return recorded


def flat(shapes: Any) -> list[Any]:
    """Return one shape, or a list, tuple or dict of shapes, as a list in Keras's order."""
    if isinstance(shapes, dict):
        return [shape for name in sorted(shapes) for shape in flat(shapes[name])]
    if all(n is None or isinstance(n, int) for n in shapes):
        return [tuple(shapes)]
    return [shape for part in shapes for shape in flat(part)]


class _RecordingOperation(keras.Operation):
    """Placeholder for an operation in a copy of a graph that records calls of the operation.

    Calling the layers themselves would add nodes to them, and give them outputs in two graphs.
    """

    def __init__(self, operation: Any, recorded: list) -> None:
        super().__init__(name=operation.name)
        self.operation, self.recorded = operation, recorded

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(self.operation.call).bind(*args, **kwargs).arguments
        first, *others = keras.tree.map_structure(_shape, dict(bound)).items()
        self.recorded.append((self.operation, first[1], dict(others)))
        return self.operation.compute_output_spec(*args, **kwargs)


def _shape(x: Any) -> Any:
    return tuple(x.shape) if isinstance(x, keras.KerasTensor) else x
