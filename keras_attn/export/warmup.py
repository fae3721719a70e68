"""Requests that TensorFlow Serving runs when it loads a SavedModel, so that the first is fast.

The file `assets.extra/tf_serving_warmup_requests` is a TFRecord of the messages
`tensorflow.serving.PredictionLog`. Their definition is in tensorflow-serving-api, which is not
needed here: the fields that are used are declared again, by their numbers in
`prediction_log.proto`, `predict.proto` and `model.proto`.
"""

import functools
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"

# Fields of messages: name, number, message type or None for a string, and whether it repeats.
_MESSAGES: dict[str, tuple[tuple[str, int, str | None, bool], ...]] = {
    "ModelSpec": (("name", 1, None, False), ("signature_name", 3, None, False)),
    # An entry of `map<string, TensorProto>` is this message on the wire.
    "Input": (("key", 1, None, False), ("value", 2, "tensorflow.TensorProto", False)),
    "PredictRequest": (
        ("model_spec", 1, "keras_attn.ModelSpec", False),
        ("inputs", 2, "keras_attn.Input", True),
    ),
    "PredictLog": (("request", 1, "keras_attn.PredictRequest", False),),
    "PredictionLog": (("predict_log", 6, "keras_attn.PredictLog", False),),
}


def warmup_records(requests: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the content of the file `WARMUP_FILE`.

    Args:
        requests: For the name of each signature the inputs of a request by name, as arrays.

    Example:

    >>> records = warmup_records({"serving_default": {"texts": ["a text"]}})
    >>> b"serving_default" in records and b"a text" in records
    True
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "records")
        with tf.io.TFRecordWriter(str(path)) as writer:
            for signature, inputs in requests.items():
                writer.write(prediction_log(signature, inputs).SerializeToString())
        return path.read_bytes()


def prediction_log(signature: str, inputs: Mapping[str, Any]) -> Any:
    """Return the `PredictionLog` of one request.

    Args:
        signature: Name of the signature.
        inputs: Its inputs by name, as arrays.
    """
    import tensorflow as tf

    log = prediction_log_class()()
    request = log.predict_log.request
    # TensorFlow Serving replaces the name by that of the model that it loads.
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        entry = request.inputs.add(key=name)
        entry.value.CopyFrom(tf.make_tensor_proto(value))
    return log


@functools.cache
def prediction_log_class() -> Any:
    """Return the class of the message `PredictionLog`, with the fields that are used here."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from tensorflow.core.framework import tensor_pb2

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_attn/prediction_log.proto",
        package="keras_attn",
        syntax="proto3",
        dependency=[tensor_pb2.DESCRIPTOR.name],
    )
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, number, type_name, repeated in fields:
            declared.field.add(
                name=name,
                number=number,
                label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
                type=field.TYPE_MESSAGE if type_name else field.TYPE_STRING,
                type_name=f".{type_name}" if type_name else None,
            )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("keras_attn.PredictionLog"))
