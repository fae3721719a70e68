"""Select, check and combine the mask arguments of attention layers.

Shapes of scores are `(B, T, S)`: batch, queries and keys, None where a size is unknown.
"""

from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._types import Tensors
from keras_attn.ops import combine
from keras_attn.ops import padding_mask as expand_padding_mask
from keras_attn.ops._arguments import sizes_match
from keras_attn.ops._mask_values import BIAS_HINT, check_mask_values

Shape = tuple[int | None, ...]
AXES = ("batch", "queries", "keys")


def combine_masks(
    name: str,
    num_heads: int,
    scores_shape: Shape,
    padding_mask: Tensor | None,
    attention_mask: Tensor | None,
) -> Tensor | None:
    """Return one boolean mask that broadcasts to `(B, N, T, S)`, or None without any mask.

    Args:
        name: name of the layer, for error messages.
        num_heads: number of heads of the layer, `N`.
        scores_shape: `(B, T, S)`.
        padding_mask: `(B, S)`, True for keys that may be attended to.
        attention_mask: `(B, T, S)`, `(B, 1, T, S)` or `(B, N, T, S)`, True = attend. A key
            must be allowed by both masks.

    Raises:
        ValueError: a mask has a wrong shape, or holds values to add to the scores.
    """
    check_key_masks(name, scores_shape, padding_mask=padding_mask)
    check_attention_mask(name, num_heads, scores_shape, attention_mask)
    if padding_mask is not None:
        padding_mask = expand_padding_mask(padding_mask)
    if attention_mask is not None:
        attention_mask = ops.cast(attention_mask, "bool")
        if len(attention_mask.shape) == 3:
            attention_mask = attention_mask[:, None]
    return combine(padding_mask, attention_mask)


def select_padding_mask(
    name: str, padding_mask: Tensor | None, cache: Tensors | None, **implicit: Tensor | None
) -> tuple[str, Tensor | None]:
    """Return `padding_mask`, or else the first implicit mask that Keras filled in.

    Args:
        name: name of the layer, for error messages.
        padding_mask: the call argument.
        cache: the call argument.
        **implicit: the arguments that Keras fills in.

    Returns:
        The name of the argument, and the mask.

    Raises:
        ValueError: `padding_mask` is None, and Keras filled in a mask for a call with a cache.
            That mask covers the new positions only, but the keys include those of the cache.
    """
    if padding_mask is not None:
        return "padding_mask", padding_mask
    masks = ((argument, mask) for argument, mask in implicit.items() if mask is not None)
    argument, keras_mask = next(masks, ("padding_mask", None))
    if keras_mask is not None and cache is not None:
        raise ValueError(
            f"{name}: the inputs carry an implicit Keras mask of shape {tuple(keras_mask.shape)}, "
            "which does not cover the keys in the cache. Pass `padding_mask` of shape (batch, "
            "keys), including the keys in the cache, or embed without `mask_zero`."
        )
    return argument, keras_mask


def select_key_mask(
    name: str,
    scores_shape: Shape,
    padding_mask: Tensor | None,
    cache: Tensors | None,
    key: tuple[Tensor | None, Tensor | None],
    value: tuple[Tensor, Tensor | None],
) -> Tensor | None:
    """Return the mask of the keys from `padding_mask`, `key_mask` and `value_mask`.

    With several explicit masks, a key must be allowed by all of them. Masks that Keras filled in
    count only where none is explicit.

    Args:
        name: name of the layer, for error messages.
        scores_shape: `(B, T, S)`.
        padding_mask: the call argument.
        cache: the call argument.
        key: the call arguments `key` and `key_mask`.
        value: the call arguments `value` and `value_mask`.

    Raises:
        ValueError: a mask has a wrong shape or wrong values; or see `select_padding_mask`.
    """
    implicit = {"key_mask": key[1], "value_mask": value[1]}
    masks = {"padding_mask": padding_mask} | {
        argument: None if is_implicit(mask, inputs) else mask
        for argument, (inputs, mask) in {"key_mask": key, "value_mask": value}.items()
    }
    if all(mask is None for mask in masks.values()):
        select_padding_mask(name, None, cache, **implicit)
        masks = implicit
    check_key_masks(name, scores_shape, attached_by_keras=masks is implicit, **masks)
    distinct = {id(mask): mask for mask in masks.values() if mask is not None}
    return combine(*(ops.cast(mask, "bool") for mask in distinct.values()))


def is_implicit(mask: Tensor | None, inputs: Tensor | None) -> bool:
    """Return whether a mask is None or the one that Keras attached to the inputs."""
    return mask is None or mask is getattr(inputs, "_keras_mask", None)


def check_key_masks(
    name: str, scores_shape: Shape, *, attached_by_keras: bool = False, **masks: Tensor | None
) -> None:
    """Raise ValueError unless each mask is None, or is `(B, S)` with the values of a mask.

    Args:
        name: name of the layer, for error messages.
        scores_shape: `(B, T, S)`.
        attached_by_keras: whether the masks are implicit ones, which no caller passed.
        **masks: the masks by argument.
    """
    expected = scores_shape[0], scores_shape[2]
    for argument, mask in masks.items():
        _check_sequence_mask(name, argument, "keys", expected, mask, attached_by_keras)


def check_query_mask(name: str, scores_shape: Shape, mask: Tensor | None) -> None:
    """Raise ValueError unless a `query_mask` is None, or is `(B, T)` with the values of a mask."""
    _check_sequence_mask(name, "query_mask", "queries", scores_shape[:2], mask)


def check_attention_mask(
    name: str, num_heads: int, scores_shape: Shape, mask: Tensor | None
) -> None:
    """Raise ValueError unless an `attention_mask` is None, or fits the scores.

    Each of its axes may have size 1, as in Keras. A mask of rank 2 is refused even if only one
    meaning fits the sizes: which one fits would change with the size of the batch.
    """
    if mask is None:
        return
    check_mask_values(owner=name, attention_mask=mask, bias_hint=BIAS_HINT)
    shape, (batch, queries, keys) = tuple(mask.shape), scores_shape
    if len(shape) == 3 and _broadcasts(shape, scores_shape):
        return
    if len(shape) == 4 and _broadcasts(shape, (batch, num_heads, queries, keys)):
        return
    heads = "1 head" if num_heads == 1 else f"1 or {num_heads} heads"
    raise ValueError(
        f"{name}: `attention_mask` must have shape {_named_shape(AXES, scores_shape)} or (batch, "
        f"heads, queries, keys), with {heads}. Received: shape {shape}."
        + _attention_mask_remedy(shape, scores_shape)
    )


def _attention_mask_remedy(shape: Shape, scores_shape: Shape) -> str:
    """Return what to pass in place of an `attention_mask` of a wrong shape."""
    batch, queries, keys = scores_shape
    if len(shape) != 2:
        return " Each axis must have the size of the scores, or 1."
    of_queries = (
        " A (queries, keys) mask for all rows of the batch is passed as `mask[None]`, and a causal "
        "one as `use_causal_mask=True`."
    )
    of_rows = " A (batch, keys) mask is a `padding_mask`: pass it as that."
    fitting = [
        remedy
        for remedy, sizes in ((of_queries, (queries, keys)), (of_rows, (batch, keys)))
        if _broadcasts(shape, sizes)
    ]
    return "".join(fitting or [of_queries, of_rows])


def _check_sequence_mask(
    name: str,
    argument: str,
    axis: str,
    expected: Shape,
    mask: Tensor | None,
    attached_by_keras: bool = False,
) -> None:
    """Raise ValueError unless a mask is None, or is `(B, length)` with the values of a mask."""
    if mask is None:
        return
    check_mask_values(owner=name, **{argument: mask})
    shape = tuple(mask.shape)
    # Along the last axis a mask of size 1 would broadcast as well, and mask all or nothing.
    if (
        len(shape) == 2
        and _broadcasts(shape[:1], expected[:1])
        and sizes_match(shape[1], expected[1])
    ):
        return
    remedy = f"It needs one value for each of the {axis}: compute both from the same padded batch."
    if len(shape) == 1:
        remedy = "A mask of one sequence is passed as `mask[None]`."
    elif len(shape) > 2:
        remedy = "A mask with axes of queries and keys is an `attention_mask`: pass it as that."
    if attached_by_keras:
        remedy = (
            f"It is the implicit mask that Keras attached to `{argument.removesuffix('_mask')}`; a "
            "layer before this one has changed the number of positions, but not the mask. Pass "
            "`padding_mask`, or embed without `mask_zero`."
        )
    raise ValueError(
        f"{name}: `{argument}` must have shape {_named_shape(('batch', axis), expected)}. "
        f"Received: shape {shape}. {remedy}"
    )


def _named_shape(axes: tuple[str, ...], shape: Shape) -> str:
    """Return the names of axes, and their sizes as far as they are known."""
    names = f"({', '.join(axes)})"
    return names if all(size is None for size in shape) else f"{names} = {shape}"


def _broadcasts(shape: Shape, target: Shape) -> bool:
    return all(size == 1 or sizes_match(size, to) for size, to in zip(shape, target, strict=True))
