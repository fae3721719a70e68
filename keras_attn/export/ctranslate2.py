"""CTranslate2 models of translation Transformers.

A model of CTranslate2 maps tokens to tokens: here the tokens are our ids as strings, so that the
tokenizer stays ours. `keras_attn.tasks.CTranslate2Translator` reads such a folder.
"""

import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_attn._folders import check_new_folder
from keras_attn._token_ids import END_ID, PADDING_ID, START_ID

EPSILON = 1e-6  # of the layer normalization of `keras_attn.models.TranslationTransformer`
ACTIVATIONS = {"relu": "RELU", "gelu": "GELU"}  # names of Keras, and of CTranslate2
QUANTIZATIONS = (None, "int8")


def write_ctranslate2(
    path: str | os.PathLike[str],
    weights: Mapping[str, np.ndarray],
    positions: np.ndarray,
    *,
    activation: str = "relu",
    quantization: str | None = None,
    files: Mapping[str, str] | None = None,
) -> pathlib.Path:
    """Write the weights of a `keras_attn.models.TranslationTransformer` for CTranslate2.

    Args:
        path: Folder to write. It may exist if it is empty.
        weights: The weights by their path.
        positions: Position encodings `(L, D)`, for texts and translations of at most `L` tokens.
        activation: Activation of the feed-forward networks.
        quantization: `"int8"` to store the weights of products in int8, or None.
        files: Contents of further files by name.

    Returns:
        The folder's path.

    Raises:
        ImportError: ctranslate2 is not installed.
        ValueError: The activation is not one of CTranslate2, or the quantization is unknown.
        FileExistsError: `path` exists and is not an empty folder.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"`quantization` must be 'int8', or None for float32. Received: {quantization!r}."
        )
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"CTranslate2 has no activation {activation!r} for this model. Accepted: "
            f"{', '.join(ACTIVATIONS)}. Use 'saved_model'."
        )
    spec = _specification(_with_short_paths(weights), positions, ACTIVATIONS[activation])
    spec.optimize(quantization=quantization)
    path = pathlib.Path(path).absolute()
    check_new_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        unfinished = pathlib.Path(folder, "model")
        unfinished.mkdir()
        spec.save(str(unfinished))
        for name, content in (files or {}).items():
            (unfinished / name).write_text(content, encoding="utf-8")
        if path.exists():
            path.rmdir()
        unfinished.rename(path)
    return path


def _with_short_paths(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights by their paths in the network, without a prefix that all of them have."""
    (embedding,) = (path for path in weights if path.endswith("embedding/embeddings"))
    prefix = embedding.removesuffix("embedding/embeddings")
    return {path.removeprefix(prefix): value for path, value in weights.items()}


def _specification(
    weights: Mapping[str, np.ndarray], positions: np.ndarray, activation: str
) -> Any:
    """Return the specification of CTranslate2, with the weights."""
    try:
        from ctranslate2.specs import Activation, TransformerSpec
    except ImportError as error:
        raise ImportError(
            "CTranslate2 models need ctranslate2: pip install 'keras-attn[ctranslate2]'."
        ) from error
    spec = TransformerSpec.from_config(
        (_count_layers(weights, "encoder"), _count_layers(weights, "decoder")),
        num_heads=len(weights["encoder_1/attention/query/bias"]),
        pre_norm=True,
        activation=getattr(Activation, activation),
    )
    embeddings = weights["embedding/embeddings"]
    spec.encoder.embeddings[0].weight = embeddings
    spec.decoder.embeddings.weight = embeddings
    spec.decoder.projection.weight = embeddings
    for name in ("encoder", "decoder"):
        stack = getattr(spec, name)
        stack.position_encodings.encodings = positions
        _set_norm(stack.layer_norm, weights, f"{name}_norm")
        for number, layer in enumerate(stack.layer, start=1):
            path = f"{name}_{number}"
            own, cross = f"{path}/attention", f"{path}/cross_attention"
            _set_norm(layer.self_attention.layer_norm, weights, f"{own}_norm")
            _set_linear(layer.self_attention.linear[0], weights, own, "query", "key", "value")
            _set_linear(layer.self_attention.linear[1], weights, own, "attention_output")
            if name == "decoder":
                _set_norm(layer.attention.layer_norm, weights, f"{cross}_norm")
                _set_linear(layer.attention.linear[0], weights, cross, "query")
                _set_linear(layer.attention.linear[1], weights, cross, "key", "value")
                _set_linear(layer.attention.linear[2], weights, cross, "attention_output")
            _set_norm(layer.ffn.layer_norm, weights, f"{path}/feed_forward_norm")
            _set_linear(layer.ffn.linear_0, weights, path, "feed_forward_in")
            _set_linear(layer.ffn.linear_1, weights, path, "feed_forward_out")
    vocabulary = list(map(str, range(len(embeddings))))
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)
    spec.config.unk_token = str(PADDING_ID)
    spec.config.bos_token = spec.config.decoder_start_token = str(START_ID)
    spec.config.eos_token = str(END_ID)
    spec.config.layer_norm_epsilon = EPSILON
    spec.validate()
    return spec


def _set_norm(spec: Any, weights: Mapping[str, np.ndarray], path: str) -> None:
    spec.gamma, spec.beta = weights[f"{path}/gamma"], weights[f"{path}/beta"]


def _set_linear(spec: Any, weights: Mapping[str, np.ndarray], path: str, *names: str) -> None:
    """Set a layer from one or more of ours, whose outputs follow one another."""
    biases = [weights[f"{path}/{name}/bias"].reshape(-1) for name in names]
    kernels = [weights[f"{path}/{name}/kernel"] for name in names]
    matrices = [x.reshape(-1, bias.size).T for x, bias in zip(kernels, biases, strict=True)]
    spec.weight, spec.bias = np.concatenate(matrices), np.concatenate(biases)


def _count_layers(weights: Mapping[str, np.ndarray], stack: str) -> int:
    return sum(path.startswith(stack) and path.endswith("_in/bias") for path in weights)
