"""A SavedModel with its requests: strict parsing, execution in batches, replies.

Needs TensorFlow and pydantic, and neither Keras nor keras_attn. The JSON of requests and replies
is that of TensorFlow Serving's `:predict`.
"""

import base64
import binascii
import contextlib
import dataclasses
import itertools
import json
import math
import pathlib
import re
import struct
from typing import Annotated, Any

import numpy as np
import pydantic
import pydantic_core
import tensorflow as tf

DEFAULT = "serving_default"
IMAGES, WAVS = "image_bytes", "files"  # inputs of files
Outputs = dict[str, np.ndarray]
PNG_START = b"\x89PNG\r\n\x1a\n"
PROBE_SIZES = (1, 8, 32, 128, 512, 2_048)  # of axes whose length a signature leaves open
PROBE_NUMBERS = (1, 8_000)  # rates of sound among them


class RequestError(ValueError):
    """A request that cannot be answered, with the HTTP status that says so."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Predict(pydantic.BaseModel):
    """Body of a request in JSON: one of `inputs` (columns) and `instances` (rows)."""

    model_config = pydantic.ConfigDict(extra="forbid")

    signature_name: str = DEFAULT
    inputs: Any = None
    instances: list[Any] | None = None


class Limits(pydantic.BaseModel):
    """Largest requests that are answered."""

    model_config = pydantic.ConfigDict(extra="forbid")

    max_body_bytes: Annotated[int, pydantic.Field(ge=1)] = 8 * 2**20
    max_examples: Annotated[int, pydantic.Field(ge=1)] = 128
    max_text_bytes: Annotated[int, pydantic.Field(ge=1)] = 10_000  # of each text, in UTF-8
    max_pixels: Annotated[int, pydantic.Field(ge=1)] = 20_000_000  # of all files of a request


@dataclasses.dataclass(frozen=True)
class Request:
    """Inputs that fit the signature, as arrays.

    Attributes:
        signature: Name of the signature.
        inputs: Its inputs.
        examples: Size of the batch axis, 1 for signatures without one.
        rows: True if the reply is written in rows (`predictions`), as the request was.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    examples: int
    rows: bool = False


class ServedModel:
    """Load a SavedModel, and answer requests with it.

    Args:
        path: Folder of a SavedModel, or a folder of versions (`1`, `2`, ...), of which the
            highest is loaded.
        limits: Largest requests that are answered.

    Raises:
        FileNotFoundError: There is no SavedModel at `path`.
        ValueError: The SavedModel has no signatures.
    """

    def __init__(self, path: str, limits: Limits | None = None) -> None:
        folder = find_version(path)
        self.limits = limits or Limits()
        self.version = folder.name if folder.name.isdecimal() else "1"
        self.name = folder.parent.name if folder.name.isdecimal() else folder.name
        information = folder / "assets" / "model.json"
        self.information: dict[str, Any] = (
            json.loads(information.read_text(encoding="utf-8")) if information.is_file() else {}
        )
        self._loaded = tf.saved_model.load(str(folder))
        self._signatures = dict(self._loaded.signatures)
        if not self._signatures:
            raise ValueError(
                f"The SavedModel at {str(folder)!r} has no signatures. Export it again."
            )
        # The search also executes each signature for the first time, before a client does.
        self._probes = {name: self._probe(name) for name in self._signatures}

    def describe(self) -> dict[str, Any]:
        """Return name, version, `assets/model.json`, and the signatures with their tensors."""
        return {
            "name": self.name,
            "version": self.version,
            "model": self.information,
            "limits": self.limits.model_dump(),
            "signatures": {
                name: {
                    "inputs": {key: _describe(spec) for key, spec in self._specs(name).items()},
                    "outputs": {
                        key: _describe(spec) for key, spec in function.structured_outputs.items()
                    },
                }
                for name, function in self._signatures.items()
            },
        }

    def parse(self, body: bytes) -> Request:
        """Return the request of a body in JSON.

        Args:
            body: `{"inputs": {name: values}}` or `{"instances": [{name: value}, ...]}`, and
                `"signature_name"`. The name may be left out of signatures with one input. Bytes
                are `{"b64": "..."}`. In inputs of floats `null` is NaN, a missing value.

        Raises:
            RequestError: The body does not fit the signature, or exceeds a limit.
        """
        try:
            predict = Predict.model_validate_json(body)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "body"
            raise RequestError(f"{place}: {first['msg']}.") from None
        if (predict.inputs is None) == (predict.instances is None):
            raise RequestError("The body must have one of 'inputs' and 'instances'.")
        specs = self._specs(predict.signature_name)
        if predict.instances is None:
            columns = self._columns(predict.inputs, specs)
        else:
            columns = self._rows(predict.signature_name, predict.instances)
        inputs = {name: self._array(name, columns[name], spec) for name, spec in specs.items()}
        return self._request(predict.signature_name, inputs, rows=predict.instances is not None)

    def parse_file(self, content: bytes, name: str) -> Request:
        """Return the request of one file, for the signature whose only input is `name`.

        Args:
            content: The file.
            name: `"image_bytes"` or `"files"` (WAV), as the exported tasks name them.

        Raises:
            RequestError: The model reads no such files, or the file exceeds a limit.
        """
        for signature in self._signatures:
            if list(self._specs(signature)) == [name]:
                return self._single(signature, content)
        raise RequestError(
            f"No signature of the model {self.name!r} has the one input {name!r}. Send JSON.", 415
        )

    def parse_text(self, content: bytes) -> Request:
        """Return the request of one text in UTF-8, for models with one input of texts.

        Raises:
            RequestError: The model reads something else, or the text exceeds a limit.
        """
        for signature in (DEFAULT, *self._signatures):
            specs = self._specs(signature) if signature in self._signatures else {}
            strings = [name for name, spec in specs.items() if spec.dtype == tf.string]
            if len(specs) == len(strings) == 1 and not _holds_files(strings[0]):
                return self._single(signature, content)
        raise RequestError(
            f"The model {self.name!r} does not read single texts. Send JSON with its inputs.", 415
        )

    def run(self, requests: list[Request]) -> list[Outputs | Exception]:
        """Answer requests together where their shapes allow it.

        Requests of the same signature whose examples have the same shape are executed as one
        batch. Signatures with an input that is not a batch, such as the seed of text generation,
        are executed request by request. If a batch fails because of its values, its requests are
        executed one by one, so that only the wrong one fails.

        Returns:
            For each request its outputs, or the exception that it raised.
        """
        groups: dict[Any, list[int]] = {}
        for index, request in enumerate(requests):
            shapes = tuple((name, value.shape[1:]) for name, value in request.inputs.items())
            together = self._in_batches(request.signature)
            key = (request.signature, shapes) if together else index
            groups.setdefault(key, []).append(index)
        results: list[Outputs | Exception] = [{}] * len(requests)
        for indices in groups.values():
            answers = self._run_group([requests[index] for index in indices])
            for index, answer in zip(indices, answers, strict=True):
                results[index] = answer
        return results

    def reply(self, request: Request, outputs: Outputs) -> bytes:
        """Return outputs as JSON: `{"outputs": ...}`, or `{"predictions": [...]}` for rows.

        NaN and infinity become `null`, and outputs of bytes (`*_bytes`) `{"b64": "..."}`.

        Raises:
            RequestError: Rows are asked for, and the model does not answer in rows.
        """
        values = {name: _to_json(name, value) for name, value in outputs.items()}
        if request.rows:
            if any(np.shape(value)[:1] != (request.examples,) for value in outputs.values()):
                raise RequestError(
                    "The outputs are not one row for each example. Send 'inputs' instead of "
                    "'instances'."
                )
            rows = zip(*values.values(), strict=True)
            named = [dict(zip(values, row, strict=True)) for row in rows]
            content = {"predictions": [_unnamed(row) for row in named]}
        else:
            content = {"outputs": _unnamed(values)}
        return pydantic_core.to_json(content, inf_nan_mode="null")

    def check(self) -> None:
        """Execute the smallest request of the signature `serving_default`, or of the first one.

        Where no small request is accepted, that the model refuses one shows that it runs.

        Raises:
            tf.errors.OpError: The model cannot be executed.
        """
        request = self._probes.get(DEFAULT) or next(iter(self._probes.values()))
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            self._execute(request.signature, request.inputs)

    def _run_group(self, requests: list[Request]) -> list[Outputs | Exception]:
        signature = requests[0].signature
        try:
            if len(requests) == 1:
                return [self._execute(signature, requests[0].inputs)]
            inputs = {
                name: np.concatenate([request.inputs[name] for request in requests])
                for name in requests[0].inputs
            }
            outputs = self._execute(signature, inputs)
        except tf.errors.InvalidArgumentError as error:
            if len(requests) > 1:
                return [self._run_group([request])[0] for request in requests]
            return [RequestError(f"The model refuses the input: {_reason(error)}")]
        except Exception as error:  # every request must have an answer
            return [error] * len(requests)
        ends = list(itertools.accumulate(request.examples for request in requests))
        if any(len(value) != ends[-1] for value in outputs.values()):
            # An output is not one row for each example, whatever its shape says.
            return [self._run_group([request])[0] for request in requests]
        return [
            {name: value[end - request.examples : end] for name, value in outputs.items()}
            for request, end in zip(requests, ends, strict=True)
        ]

    def _execute(self, signature: str, inputs: dict[str, np.ndarray]) -> Outputs:
        specs = self._specs(signature)
        tensors = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
        outputs = self._signatures[signature](**tensors)
        return {name: outputs[name].numpy() for name in sorted(outputs)}

    def _specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        if signature not in self._signatures:
            raise RequestError(
                f"signature_name must be one of {sorted(self._signatures)}. Received: "
                f"{_short(signature)}.",
                404,
            )
        return self._signatures[signature].structured_input_signature[1]

    def _in_batches(self, signature: str) -> bool:
        tensors = (
            *self._specs(signature).values(),
            *self._signatures[signature].structured_outputs.values(),
        )
        return all(each.shape.rank and each.shape[0] is None for each in tensors)

    def _columns(self, inputs: Any, specs: dict[str, tf.TensorSpec]) -> dict[str, Any]:
        if not isinstance(inputs, dict) or (set(inputs) == {"b64"} and "b64" not in specs):
            if len(specs) != 1:
                raise RequestError(f"inputs must be an object with the names {sorted(specs)}.")
            inputs = {next(iter(specs)): inputs}
        _check_names("inputs", inputs, specs)
        return inputs

    def _rows(self, signature: str, instances: list[Any]) -> dict[str, Any]:
        specs = self._specs(signature)
        rows = [self._columns(instance, specs) for instance in instances]
        if not self._in_batches(signature):
            unbatched = [name for name, spec in specs.items() if not spec.shape.rank]
            raise RequestError(
                f"The signature {signature!r} does not answer row by row (inputs for all "
                f"examples: {unbatched}). Send 'inputs' instead of 'instances'."
            )
        return {name: [row[name] for row in rows] for name in specs}

    def _single(self, signature: str, content: bytes) -> Request:
        ((name, _),) = self._specs(signature).items()
        value = np.array([content], object)
        self._check_strings(name, value)
        return self._request(signature, {name: value})

    def _array(self, name: str, value: Any, spec: tf.TensorSpec) -> np.ndarray:
        shape, values = _flatten(name, value, spec.shape)
        if spec.dtype == tf.string:
            array = np.array([_to_bytes(name, each) for each in values], object)
            self._check_strings(name, array)
        else:
            array = _numbers(name, values, spec.dtype)
        return array.reshape(shape)

    def _check_strings(self, name: str, values: np.ndarray) -> None:
        if _holds_files(name):
            if name != IMAGES:
                return
            pixels = sum(count_pixels(value) for value in values)
            if pixels > self.limits.max_pixels:
                raise RequestError(
                    f"The images of a request must have {self.limits.max_pixels} pixels at most "
                    f"together. Received: {pixels}. Resize them before sending them.",
                    413,
                )
            return
        for value in values:
            if len(value) > self.limits.max_text_bytes:
                raise RequestError(
                    f"A text must have {self.limits.max_text_bytes} bytes at most. Received: "
                    f"{len(value)} bytes. Split it.",
                    413,
                )
            try:
                value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise RequestError(f"{name}: a text is not UTF-8: {error}.") from None

    def _request(
        self, signature: str, inputs: dict[str, np.ndarray], rows: bool = False
    ) -> Request:
        batched = {name: len(value) for name, value in inputs.items() if value.ndim}
        if len(set(batched.values())) > 1:
            raise RequestError(f"All inputs must have as many examples. Received: {batched}.")
        examples = next(iter(batched.values()), 1)
        if examples > self.limits.max_examples:
            raise RequestError(
                f"A request must have {self.limits.max_examples} examples at most. Received: "
                f"{examples}. Send several requests.",
                413,
            )
        return Request(signature, inputs, examples, rows)

    def _probe(self, signature: str) -> Request | None:
        """Return the smallest request that the signature accepts, or the smallest one tried."""
        smallest = None
        specs = self._specs(signature)
        file = tf.io.encode_png(np.zeros((8, 8, 3), np.uint8)).numpy()
        for size, text, number in itertools.product(PROBE_SIZES, (b"a", file), PROBE_NUMBERS):
            inputs = {}
            for name, spec in specs.items():
                sizes = spec.shape.as_list() if spec.shape.rank else []
                shape = [1 if axis == 0 else (n or size) for axis, n in enumerate(sizes)]
                dtype = spec.dtype.as_numpy_dtype
                filling = number if spec.shape.rank == 0 else 1
                if spec.dtype == tf.string:
                    filling, dtype = text, object
                inputs[name] = np.full(shape, filling, dtype)
            smallest = smallest or Request(signature, inputs, 1)
            with contextlib.suppress(tf.errors.OpError):
                self._execute(signature, inputs)
                return Request(signature, inputs, 1)
        return smallest


def find_version(path: str) -> pathlib.Path:
    """Return the folder of the SavedModel at `path`, or of its highest version.

    Raises:
        FileNotFoundError: There is none.
    """
    folder = pathlib.Path(path).absolute()
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [each for each in folder.glob("[0-9]*") if (each / "saved_model.pb").is_file()]
    if not versions:
        raise FileNotFoundError(
            f"model must be the folder of a SavedModel, or of its versions. Received: {path!r}, "
            f"which has no saved_model.pb. Write one: keras-attn export NAME {path}/1."
        )
    return max(versions, key=lambda each: int(each.name) if each.name.isdecimal() else -1)


def count_pixels(content: bytes) -> int:
    """Return height times width of a JPEG or PNG file, from its header.

    Raises:
        RequestError: The content is neither, or ends within the header.
    """
    if content.startswith(PNG_START):
        if len(content) < 24 or content[12:16] != b"IHDR":
            raise RequestError("The PNG file does not begin with a whole header (IHDR).")
        width, height = struct.unpack(">II", content[16:24])
        return width * height
    if content.startswith(b"\xff\xd8\xff"):
        try:
            return math.prod(tf.image.extract_jpeg_shape(content).numpy()[:2].tolist())
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(f"The JPEG file is damaged: {_reason(error)}") from None
    raise RequestError(
        f"A file of an image must be JPEG or PNG. Received: {len(content)} bytes that begin with "
        f"{content[:8]!r}.",
        415,
    )


def _holds_files(name: str) -> bool:
    """Return whether an input holds files, which need not be UTF-8."""
    return name.endswith("_bytes") or name == WAVS


def _flatten(name: str, value: Any, expected: tf.TensorShape) -> tuple[list[int], list[Any]]:
    """Return the shape of nested lists, and their values in one list."""
    shape: list[int] = []
    values = [value]
    sizes = expected.as_list() if expected.rank is not None else itertools.repeat(None)
    for size in sizes:
        lists = {type(each) is list for each in values}
        if expected.rank is None and lists == {False}:
            break
        if lists != {True}:
            raise RequestError(f"{name} must have the shape {_shape(expected)}: too few axes.")
        lengths = set(map(len, values))
        if len(lengths) > 1:
            raise RequestError(f"{name} must have rows of the same length: axis {len(shape)}.")
        shape.append(lengths.pop())
        if not shape[-1] or size not in (None, shape[-1]):
            raise RequestError(
                f"{name} must have the shape {_shape(expected)}, of at least one example. "
                f"Received: {shape[-1]} on axis {len(shape) - 1}."
            )
        values = list(itertools.chain.from_iterable(values))
    if list in set(map(type, values)):
        raise RequestError(f"{name} must have the shape {_shape(expected)}: too many axes.")
    return shape, values


def _numbers(name: str, values: list[Any], dtype: tf.DType) -> np.ndarray:
    """Return numbers in `dtype`: floats are rounded, and what it cannot hold is refused."""
    types = set(map(type, values))
    accepted = {bool} if dtype.is_bool else {int} if dtype.is_integer else {int, float, type(None)}
    if not types <= accepted:
        wrong = next(each for each in values if type(each) not in accepted)
        raise RequestError(f"{name} must hold values of {dtype.name}. Received: {_short(wrong)}.")
    if dtype.is_bool:
        return np.array(values, bool)
    if dtype.is_integer:
        smallest, largest = min(values), max(values)
        if smallest < dtype.min or largest > dtype.max:
            wrong = smallest if smallest < dtype.min else largest
            raise RequestError(
                f"{name} must be in {dtype.min}..{dtype.max} ({dtype.name}). Received: "
                f"{_short(wrong)}."
            )
        return np.array(values, dtype.as_numpy_dtype)
    missing = np.array([each is None for each in values])
    try:
        wide = np.array([math.nan if each is None else each for each in values], np.float64)
        with np.errstate(over="ignore"):
            array = wide.astype(dtype.as_numpy_dtype)
    except (OverflowError, TypeError):
        raise RequestError(f"{name} must hold numbers of {dtype.name}.") from None
    if not np.isfinite(array[~missing]).all():
        raise RequestError(
            f"{name} must hold finite numbers of {dtype.name}. Send null for a missing value."
        )
    return array


def _to_bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(f"{name}: a text is not Unicode: {error}.") from None
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError(f"{name}: 'b64' is not base64: {error}.") from None
    raise RequestError(f'{name} must hold strings, or {{"b64": "..."}}. Received: {_short(value)}.')


def _to_json(name: str, value: np.ndarray | bytes) -> Any:
    array = np.asarray(value, object if isinstance(value, bytes) else None)
    if array.dtype != object:
        return array.tolist()
    if name.endswith("_bytes"):
        encode = np.vectorize(lambda each: {"b64": base64.b64encode(each).decode()}, otypes="O")
    else:
        encode = np.vectorize(lambda each: each.decode("utf-8", "replace"), otypes="O")
    return encode(array).tolist()


def _check_names(place: str, names: dict[str, Any], specs: dict[str, tf.TensorSpec]) -> None:
    if set(names) != set(specs):
        raise RequestError(
            f"{place} must have the names {sorted(specs)}. Received: {_short(sorted(names))}."
        )


def _unnamed(values: dict[str, Any]) -> Any:
    """Return the value of a single output without its name, as TensorFlow Serving does."""
    return next(iter(values.values())) if len(values) == 1 else values


def _describe(spec: tf.TensorSpec) -> dict[str, Any]:
    return {
        "dtype": spec.dtype.name,
        "shape": None if spec.shape.rank is None else spec.shape.as_list(),
    }


def _shape(shape: tf.TensorShape) -> str:
    sizes = [] if shape.rank is None else shape.as_list()
    return f"({', '.join('?' if size is None else str(size) for size in sizes)})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _reason(error: tf.errors.OpError) -> str:
    """Return the line of a message that says what is wrong, without names of operations."""
    lines = error.message.partition("\n\t [[")[0].strip().splitlines()
    reason = re.sub(r"\{\{.*?\}\}|\[Op:[^]]*\]?", "", lines[-1] if lines else "")
    return " ".join(reason.split())[:300]
