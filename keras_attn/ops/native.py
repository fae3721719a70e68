"""The fused attention kernel of the backend, where it computes the same result.

PyTorch has such a kernel for CPUs and GPUs. TensorFlow has none, and JAX's (cuDNN) takes only
half precision on GPUs; use the streaming path there.
"""

import keras
from keras import ops

from keras_attn.ops import masks
from keras_attn.ops._arguments import AttentionCall
from keras_attn.ops._scores import bias_mask
from keras_attn.ops._types import Tensor
from keras_attn.ops.layout import swap_heads


def explain_unsupported(call: AttentionCall) -> str | None:
    """Return why the fused kernel cannot compute this call, or None if it can."""
    if keras.backend.backend() != "torch":
        return f"the backend is {keras.backend.backend()}, which has no fused kernel to use"
    conditions = {
        f"normalizer={call.normalizer.name!r}": call.normalizer.name != "softmax",
        "a dropout that can be repeated": call.dropout > 0.0,
        f"window={call.window}": call.window is not None,
        "bias that is a function": callable(call.bias),
        "symbolic inputs": isinstance(call.query, keras.KerasTensor),
        "inputs of several dtypes": len({str(x.dtype) for x in (call.query, call.key, call.value)})
        > 1,
        "is_causal with a mask": call.is_causal and call.mask is not None,
        "is_causal with a bias": call.is_causal and call.bias is not None,
        "is_causal with a q_offset": call.is_causal
        and not (isinstance(call.q_offset, int) and call.q_offset == 0),
    }
    reasons = [reason for reason, holds in conditions.items() if holds]
    return f"it has no {' and no '.join(reasons)}" if reasons else None


def native_attention(call: AttentionCall) -> Tensor:
    """Compute attention as `keras_attn.ops.attention` defines it, by PyTorch's fused kernel."""
    from torch.nn.functional import scaled_dot_product_attention

    has_keys, attn_mask = None, None
    mask = call.mask
    if call.bias is not None:
        mask = masks.combine(mask, bias_mask(call.bias))
    if mask is not None:
        has_keys = ops.any(mask, axis=-1, keepdims=True)
        # The kernel gives NaN in fully masked rows: let them attend to all keys, and set their
        # output to 0 afterwards.
        attn_mask = ops.logical_or(mask, ops.logical_not(has_keys))
        if call.bias is not None:
            bias = ops.where(mask, ops.cast(call.bias, call.query.dtype), 0.0)
            attn_mask = ops.where(attn_mask, bias, -float("inf"))
    query, key, value = swap_heads(call.query), call.key, call.value
    if not call.heads_first:
        key, value = swap_heads(key), swap_heads(value)
    output = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=attn_mask,
        is_causal=call.is_causal,
        scale=call.scale,
        # While a graph is recorded, as for ONNX, the comparison gives a tensor.
        enable_gqa=bool(query.shape[1] != key.shape[1]),
    )
    output = output if has_keys is None else ops.where(has_keys, output, 0.0)
    return ops.cast(swap_heads(output), call.value.dtype)
