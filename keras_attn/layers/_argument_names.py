"""Names that arguments have in PyTorch, Keras, KerasHub and Hugging Face, and ours for them."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from keras_attn._names import refuse_renamed, unknown

# Each name elsewhere, and ours by preference: the first that the layer has is suggested.
_CALL: Mapping[str, tuple[str, ...]] = {
    "causal": ("use_causal_mask",),
    "is_causal": ("use_causal_mask",),
    "mask": ("padding_mask", "attention_mask"),
    "attn_mask": ("attention_mask", "padding_mask"),
    "key_padding_mask": ("padding_mask",),
    "src_key_padding_mask": ("padding_mask",),
    "tgt_key_padding_mask": ("padding_mask",),
    "decoder_padding_mask": ("padding_mask",),
    "memory_key_padding_mask": ("memory_padding_mask", "padding_mask"),
    "encoder_padding_mask": ("memory_padding_mask", "padding_mask"),
    "need_weights": ("return_attention_scores",),
    "return_weights": ("return_attention_scores",),
    "output_attentions": ("return_attention_scores",),
}
_CONSTRUCTOR: Mapping[str, tuple[str, ...]] = {
    "embed_dim": ("key_dim",),
    "d_model": ("key_dim",),
    "hidden_size": ("key_dim",),
    "head_dim": ("key_dim",),
    "head_size": ("key_dim",),
    "nhead": ("num_heads",),
    "num_attention_heads": ("num_heads",),
    "num_query_heads": ("num_heads",),
    "num_key_value_heads": ("num_kv_heads",),
    "dim_feedforward": ("intermediate_dim",),
    "intermediate_size": ("intermediate_dim",),
    "dropout_rate": ("dropout",),
    "bias": ("use_bias",),
    "norm_first": ("normalize_first",),
    "layer_norm_eps": ("epsilon",),
    "layer_norm_epsilon": ("epsilon",),
    "score_mode": ("score",),
    "num_key_heads": ("num_kv_heads",),
}
# Arguments of every Keras layer, which are no misspellings of ours.
_OF_EVERY_LAYER = {
    *("name", "dtype", "trainable", "autocast", "activity_regularizer", "weights"),
    *("input_shape", "input_dim", "batch_input_shape", "batch_shape", "batch_size"),
}
_NOTES: Mapping[str, str] = {
    "padding_mask": ", (batch, keys), True for a key that may be attended to",
    "memory_padding_mask": ", (batch, keys), True for a key that may be attended to",
    "attention_mask": ", (batch, queries, keys), True = attend",
    "key_dim": ", the size of each head: the features divided by the number of heads",
}
# PyTorch's boolean masks are True where attention is excluded.
_INVERTED = {"attn_mask", "key_padding_mask", "src_key_padding_mask", "tgt_key_padding_mask"}
_INVERTED |= {"memory_key_padding_mask"}
_INVERSE = " (a boolean mask of PyTorch is the opposite: pass `~mask`)"
_BATCH_FIRST = "inputs with the batch on the first axis, and leave `batch_first` out"


def refuse_call_names(owner: str, call: Callable[..., Any], received: Iterable[str]) -> None:
    """Raise TypeError if a call argument is unknown, with the name that it has here.

    Args:
        owner: name of the layer class; it starts the message.
        call: the function `call` of the class. If it takes any keywords, nothing is checked.
        received: names of the keyword arguments.
    """
    parameters = _parameters(call)
    if parameters is None:
        return
    strange = [name for name in received if name not in parameters]
    refuse_renamed(owner, strange, {**_advice(_CALL, parameters), "batch_first": _BATCH_FIRST})
    if strange:
        raise TypeError(f"{owner}: {unknown('argument', strange[0], parameters)}")


def refuse_constructor_names(
    owner: str, init: Callable[..., Any], call: Callable[..., Any], received: Iterable[str]
) -> None:
    """Raise TypeError if a constructor argument has another name here.

    Args:
        owner: name of the layer class; it starts the message.
        init: the function `__init__` of the class.
        call: the function `call` of the class.
        received: names of the keyword arguments.
    """
    parameters = inspect.signature(init).parameters
    strange = [name for name in received if name not in parameters]
    advice = {**_advice(_CONSTRUCTOR, parameters), "batch_first": _BATCH_FIRST}
    if "use_causal_mask" in (_parameters(call) or ()):
        names = ("causal", "is_causal", "use_causal_mask")
        advice |= dict.fromkeys(names, "`use_causal_mask` in the call of the layer")
    refuse_renamed(owner, strange, advice)
    own = [name for name in parameters if name not in ("self", "kwargs")]
    for name in strange:
        # Others are arguments of every Keras layer, or refused by Keras.
        if difflib.get_close_matches(name, own, cutoff=0.8) and name not in _OF_EVERY_LAYER:
            raise TypeError(f"{owner}: {unknown('argument', name, own)}")


def check_required(owner: str, init: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Raise TypeError if an argument without a default is missing; Python would not name `owner`.

    Args:
        owner: name of the layer class; it starts the message.
        init: the function `__init__` of the class.
        args: positional arguments.
        kwargs: keyword arguments.
    """
    signature = inspect.signature(init)
    received = signature.bind_partial(None, *args, **kwargs).arguments
    required = [
        f"`{name}`"
        for name, parameter in signature.parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and name not in received
    ]
    if required:
        raise TypeError(f"{owner}: missing {' and '.join(required)}.")


def _advice(names: Mapping[str, tuple[str, ...]], parameters: Iterable[str]) -> dict[str, str]:
    """Return the advice for each name elsewhere of which a function has an equivalent."""
    accepted = set(parameters)
    fitting = {name: [own for own in ours if own in accepted] for name, ours in names.items()}
    return {
        name: ", or ".join(f"`{own}`{_NOTES.get(own, '')}" for own in ours)
        + _INVERSE * (name in _INVERTED)
        for name, ours in fitting.items()
        if ours
    }


@functools.cache
def _parameters(call: Callable[..., Any]) -> tuple[str, ...] | None:
    """Return the names of the parameters of a method `call`, or None if it takes any keywords."""
    parameters = inspect.signature(call).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return tuple(name for name in parameters if name != "self")
