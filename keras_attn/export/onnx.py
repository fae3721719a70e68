"""ONNX models, by tf2onnx."""

import contextlib
import functools
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_attn._files import replacing
from keras_attn.export._tracing import prepared_for_tracing, traced
from keras_attn.export.saved_model import import_tensorflow

OPSET = 18


def write_onnx(
    path: pathlib.Path,
    function: Callable[..., dict[str, Any]],
    owner: keras.layers.Layer,
    *,
    metadata: Mapping[str, Any],
    **inputs: Any,
) -> pathlib.Path:
    """Write a function as an ONNX model, which ONNX Runtime runs.

    Args:
        path: File to write.
        function: Function from tensors to a dictionary of named tensors. Strings are left out.
        owner: The layer whose variables the function uses.
        metadata: Metadata of the model; values that are not strings are written as JSON.
        **inputs: `tf.TensorSpec` of each argument, by name.

    Returns:
        The path.

    Raises:
        ImportError: tf2onnx is not installed.
        RuntimeError: The Keras backend is not TensorFlow, or an operation has no counterpart in
            ONNX.
        OSError: The file cannot be written.
    """
    import_tensorflow()
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise ImportError("ONNX models need tf2onnx: pip install 'keras-attn[onnx]'.") from error
    with prepared_for_tracing(owner), _without_reshape_optimizer():
        _, concrete = traced(function, owner, inputs)
        model, _ = tf2onnx.convert.from_function(
            _Traced(concrete),
            input_signature=list(inputs.values()),
            opset=OPSET,
            custom_op_handlers=_handlers(),
        )
    _set_captured(model.graph, concrete)
    for name, value in metadata.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        model.metadata_props.add(key=name, value=text)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).partition("\n")[0]
        raise RuntimeError(
            f"tf2onnx has converted the model into an invalid one: {reason}"
        ) from error
    with replacing(path) as partial:
        partial.write_bytes(model.SerializeToString())
    return path


def _set_captured(graph: Any, concrete: Any) -> None:
    """Make constants of what a function has captured, which tf2onnx takes for further inputs."""
    from onnx import numpy_helper

    captured = {inside.name: outside for outside, inside in concrete.graph.captures}
    for info in [each for each in graph.input if each.name in captured]:
        graph.initializer.append(numpy_helper.from_array(captured[info.name].numpy(), info.name))
        graph.input.remove(info)


class _Traced:
    """A concrete function that tf2onnx takes for a `tf.function`."""

    def __init__(self, concrete: Any) -> None:
        self.concrete = concrete

    def get_concrete_function(self, *_: Any) -> Any:
        return self.concrete


@contextlib.contextmanager
def _without_reshape_optimizer() -> Iterator[None]:
    """Disable an optimizer of tf2onnx 1.17 that breaks one reshape after another.

    It writes the second shape by the axes of the first result, and then removes the first.
    """
    from tf2onnx import optimizer

    removed = optimizer._optimizers.pop("reshape_optimizer", None)
    try:
        yield
    finally:
        if removed is not None:
            optimizer._optimizers["reshape_optimizer"] = removed


def _handlers() -> dict[str, Any]:
    """Return conversions of operations that tf2onnx lacks, or computes otherwise, by name."""
    return {
        "SelectV2": (_convert_select, []),
        "Erfc": (_convert_erfc, []),
        "RFFT": (_convert_rfft, []),
        "Real": (functools.partial(_convert_part, first=0), []),
        "Imag": (functools.partial(_convert_part, first=1), []),
    }


def _convert_erfc(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Convert the complement of the error function, `1 - erf(x)`."""
    output, dtype, shape = _output(context, node)
    context.remove_node(node.name)
    erf = context.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
    one = _constant(context, np.array(1.0, "float32"))
    arguments = {"outputs": [output], "shapes": [shape], "dtypes": [dtype]}
    context.make_node("Sub", [one, erf.output[0]], name=node.name, **arguments)


def _convert_select(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Convert a selection. tf2onnx writes products with 0 and 1, which are NaN for NaN."""
    output, dtype, shape = _output(context, node)
    context.remove_node(node.name)
    arguments = {"outputs": [output], "shapes": [shape], "dtypes": [dtype]}
    context.make_node("Where", node.input, name=node.name, **arguments)


def _convert_rfft(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Convert a Fourier transform of real signals `(..., n)` into a product with a matrix.

    Real and imaginary parts alternate on the last axis, as ONNX has no complex numbers.
    """
    size = context.get_shape(node.input[0])[-1]
    length = int(context.get_node_by_output(node.input[1]).get_tensor_value(as_list=True)[0])
    if size != length:
        raise ValueError(f"A Fourier transform of {length} samples reads {size}.")
    angles = -2 * np.pi / size * np.outer(np.arange(size), np.arange(size // 2 + 1))
    matrix = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(size, -1)
    output, _, shape = _output(context, node)
    context.remove_node(node.name)
    context.make_node(
        "MatMul",
        [node.input[0], _constant(context, matrix.astype("float32"))],
        name=node.name,
        outputs=[output],
        shapes=[[*shape[:-1], matrix.shape[1]]],
        dtypes=[context.get_dtype(node.input[0])],
    )


def _convert_part(context: Any, node: Any, name: str, arguments: Any, *, first: int) -> None:
    """Convert the real or imaginary part of what `_convert_rfft` returns."""
    from onnx import TensorProto

    output, _, shape = _output(context, node)
    context.remove_node(node.name)
    bounds = [(first,), (np.iinfo("int32").max,), (-1,), (2,)]  # start, end, axis, step
    values = [_constant(context, np.array(each, "int64")) for each in bounds]
    context.make_node(
        "Slice",
        [node.input[0], *values],
        name=node.name,
        outputs=[output],
        shapes=[shape],
        dtypes=[TensorProto.FLOAT],
    )


def _output(context: Any, node: Any) -> tuple[str, Any, Any]:
    output = node.output[0]
    return output, context.get_dtype(output), context.get_shape(output)


def _constant(context: Any, value: np.ndarray) -> str:
    from tf2onnx import utils

    return str(context.make_const(utils.make_name("constant"), value).output[0])
