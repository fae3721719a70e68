"""Quantization and low-rank adaptation (LoRA) of the layers of a task."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_attn._names import unknown
from keras_attn._wording import counted
from keras_attn.layers import NGramEmbedding
from keras_attn.layers._attention_layer import AttentionLayer
from keras_attn.layers._lora import check_lora_settings, check_without_lora

MODES = ("int8", "int4")
REFUSED_MODES = {
    "float8": "in Keras it simulates float8 while a model is trained; kernels stay float32, so "
    "that files are no smaller",
    "gptq": "it calibrates kernels on blocks of one input and one output in sequence, which the "
    "networks of this package are not",
    "awq": "it calibrates kernels on blocks of one input and one output in sequence, which the "
    "networks of this package are not",
}
LORA_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense)
LORA_TARGETS = ("attention", "dense")


class TrainableParameters(NamedTuple):
    """Number of parameters that `fit` trains.

    Attributes:
        trainable: Parameters that are trained.
        total: All parameters, those of LoRA included.
    """

    trainable: int
    total: int


def quantize(model: keras.Model, mode: str, config: Any, filters: Any, options: Any) -> None:
    """Quantize the layers of a task, see `Task.quantize`."""
    if mode not in MODES:
        reason = REFUSED_MODES.get(mode, "it is unknown here")
        raise ValueError(
            f"{type(model).__name__}.quantize takes mode='int8' or mode='int4'. Received: "
            f"mode={mode!r}. That mode is not supported: {reason}."
        )
    if quantized := quantized_layers(model):
        raise ValueError(
            f"{type(model).__name__} is quantized already: {counted(len(quantized), 'layer')}, "
            f"such as {quantized[0].name!r}, in mode {quantized[0].quantization_mode!r}. Build or "
            "load the float model again to quantize it in another way."
        )
    tables = [each for each in model._flatten_layers() if isinstance(each, NGramEmbedding)]
    if mode == "int4" and any(any(table.dims) for table in tables):
        raise ValueError(
            f"{type(model).__name__}.quantize: the learned features of n-grams, most of its "
            'weights, have no int4 form. Pass mode="int8".'
        )
    with warnings.catch_warnings():
        # Keras reports each layer that stays as it is, such as every normalization.
        warnings.filterwarnings("ignore", message=".*does not have a `quantize` method")
        warnings.filterwarnings("ignore", message=".*NGramEmbedding quantizes learned features")
        # Keras refuses layers that are not built, such as those of a preprocessing not used yet.
        model.network.quantize(mode, config=config, filters=filters, **options)
    if not quantized_layers(model):
        raise ValueError(
            f"{type(model).__name__} has no layer that Keras quantizes to {mode}"
            f"{' among those that `filters` selects' if filters is not None else ''}: these are "
            "dense layers and embeddings."
        )
    forget_compiled(model)


def enable_lora(
    model: keras.Model,
    backbone: Iterable[Any],
    rank: int,
    lora_alpha: float | None,
    targets: str | Sequence[str],
) -> TrainableParameters:
    """Enable LoRA in the layers of a backbone and freeze the rest of it, see `Task.enable_lora`."""
    owner = type(model).__name__
    check_lora_settings(owner, rank, lora_alpha)
    if isinstance(targets, str) and targets not in LORA_TARGETS:
        raise ValueError(
            f"{owner}: {unknown('`targets`', targets, LORA_TARGETS)} A list names projections, "
            'such as ["query", "value"].'
        )
    layers = unique(inner for layer in backbone for inner in layer._flatten_layers())
    selected = list(_lora_candidates(layers, targets))
    if not selected:
        raise ValueError(
            f"{owner}: no layer of {model.network.name!r} can have LoRA with targets={targets!r}. "
            "LoRA adapts the projections of attention layers, or with targets='dense' all dense "
            "layers."
        )
    check_without_lora(owner, selected)
    adapted = set(map(id, selected))
    for layer in layers:
        if len(list(layer._flatten_layers())) == 1 and id(layer) not in adapted:
            layer.trainable = False  # normalization then uses its moving averages
    for layer in layers:
        for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
            variable.trainable = False
    inside = set(map(id, layers))
    heads = [  # a quantized kernel is not trainable
        layer
        for layer in quantized_layers(model)
        if id(layer) not in inside and isinstance(layer, LORA_LAYERS)
    ]
    for layer in (*selected, *heads):
        layer.enable_lora(rank, lora_alpha=lora_alpha)
    forget_compiled(model)
    return TrainableParameters(_size(model.trainable_weights), _size(model.weights))


def quantized_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model whose weights are quantized."""
    return [
        layer
        for layer in model._flatten_layers()
        if not isinstance(layer, keras.Model) and layer.quantization_mode is not None
    ]


def lora_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model with LoRA."""
    return [layer for layer in model._flatten_layers() if getattr(layer, "lora_enabled", False)]


def check_can_fit(model: keras.Model) -> None:
    """Raise ValueError for a model whose quantized kernels `fit` cannot train."""
    layers = quantized_layers(model)
    if layers and not lora_layers(model):
        raise ValueError(
            f"`fit` cannot train this {type(model).__name__}: the weights of "
            f"{counted(len(layers), 'layer')} are {layers[0].quantization_mode}. Call "
            "`enable_lora(rank=4)` to train low-rank updates of them, or `fit` before `quantize`."
        )


def check_can_convert(model: keras.Model, name: str) -> None:
    """Raise ValueError for a quantized model, whose kernels converters do not know."""
    if quantized_layers(model):
        raise ValueError(
            f"This {type(model).__name__} is quantized, and exports to {name!r} are of float "
            "weights. Export the model before `quantize`, with quantization='int8' where the "
            "format has it; or use format='saved_model'."
        )


def effective_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the float32 weights of a model by path, with the updates of LoRA added."""
    weights = {
        variable.path: ops.convert_to_numpy(variable).astype("float32")
        for variable in model.weights
    }
    for layer in lora_layers(model):
        for name in ("kernel", "embeddings"):
            stored = getattr(layer, f"_{name}", None)
            if stored is not None:
                values = ops.convert_to_numpy(ops.convert_to_tensor(getattr(layer, name)))
                weights[stored.path] = values.astype("float32")
    return weights


def restart_lora(model: keras.Model) -> None:
    """Draw `A` anew in layers whose update Keras has merged and set to 0 while loading.

    With `A` and `B` both 0, neither would have a gradient.
    """
    for layer in lora_layers(model):
        kind = "embeddings" if hasattr(layer, "lora_embeddings_a") else "kernel"
        first, second = (getattr(layer, f"lora_{kind}_{part}") for part in "ab")
        if not any(bool(ops.any(ops.not_equal(x, 0.0))) for x in (first, second)):
            first.assign(keras.initializers.HeUniform()(first.shape, first.dtype))


def adaptation_config(model: keras.Model) -> dict[str, Any]:
    """Return which layers are quantized and which have LoRA, by their index in the model.

    The configurations of layers hold it only for the layers of a functional model, and not for
    those that a layer or a subclassed model makes.
    """
    quantized, lora = [], []
    for index, layer in enumerate(model._flatten_layers()):
        if isinstance(layer, keras.Model):
            continue
        if (mode := layer.quantization_mode) is not None:
            settings = getattr(layer, "quantization_config", None)
            settings = keras.saving.serialize_keras_object(settings)
            quantized.append({"layer": index, "mode": mode, "config": settings})
        if getattr(layer, "lora_enabled", False):
            lora.append({"layer": index, "rank": layer.lora_rank, "alpha": layer.lora_alpha})
    config: dict[str, Any] = {}
    if quantized:
        config["quantized_layers"] = quantized
    if lora:
        weights = enumerate(model.weights)
        trainable = [index for index, weight in weights if weight.trainable]
        config["lora_layers"] = lora
        config["trainable_weights"] = trainable
    return config


def restore_adaptation(model: keras.Model, config: dict[str, Any]) -> None:
    """Quantize layers and enable LoRA as `adaptation_config` says, before weights are loaded."""
    layers = list(model._flatten_layers())
    for entry in config.get("quantized_layers", ()):
        layer = layers[entry["layer"]]
        if layer.quantization_mode is None:
            settings = keras.saving.deserialize_keras_object(entry["config"])
            layer.quantize(entry["mode"], config=settings)
    for entry in config.get("lora_layers", ()):
        layer = layers[entry["layer"]]
        if not layer.lora_enabled:
            layer.enable_lora(entry["rank"], lora_alpha=entry["alpha"])


def restore_trainable(model: keras.Model, config: dict[str, Any]) -> None:
    """Freeze weights as `adaptation_config` says."""
    if "trainable_weights" in config:
        trainable = set(config["trainable_weights"])
        for index, weight in enumerate(model.weights):
            weight.trainable = index in trainable


def forget_compiled(model: keras.Model) -> None:
    """Drop compiled functions, which read variables of before, and the state of the optimizer."""
    models = [layer for layer in model._flatten_layers() if isinstance(layer, keras.Model)]
    models.append(getattr(model, "_backbone", None) or model)
    for part in models:
        part.train_function = part.test_function = part.predict_function = None
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and optimizer.built:
        model.optimizer = type(optimizer).from_config(optimizer.get_config())


def unique(layers: Iterable[Any]) -> list[Any]:
    """Return layers in their order, each once."""
    return list({id(layer): layer for layer in layers}.values())


def _lora_candidates(layers: Iterable[Any], targets: str | Sequence[str]) -> list[Any]:
    """Return the layers that LoRA adapts.

    Raises:
        ValueError: A name is not that of a projection of any attention layer.
    """
    if targets == "dense":
        return [layer for layer in layers if isinstance(layer, LORA_LAYERS)]
    attention = [layer for layer in layers if isinstance(layer, AttentionLayer)]
    with_projections = [layer for layer in attention if layer.projections()]
    if isinstance(targets, str):
        return unique(each for layer in with_projections for each in layer.lora_projections())
    names = sorted({name for layer in with_projections for name in layer.projections()})
    for name in targets:
        if name not in names:
            raise ValueError(unknown("`targets`", name, names))
    return unique(
        each
        for layer in with_projections
        for name, each in layer.projections().items()
        if name in targets
    )


def _size(variables: Iterable[Any]) -> int:
    return sum(int(ops.size(variable)) for variable in variables)
