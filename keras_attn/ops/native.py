"""The backend's own fused attention, where it computes the same.

PyTorch has one for the CPU and for GPUs. TensorFlow has none, and that of JAX (cuDNN)
takes half precision on GPUs alone; there the streaming path is the one to use.
"""

from typing import Any

import keras
from keras import ops

from keras_attn.ops import masks, normalizers
from keras_attn.ops._call import Call
from keras_attn.ops.layout import swap_heads

Tensor = Any


def refusal(call: Call) -> str | None:
    """Why the fused kernel cannot compute this call, or None where it can."""
    if keras.backend.backend() != "torch":
        return f"the backend is {keras.backend.backend()}, which has no fused kernel to use"
    reasons = {
        f"normalizer={call.normalizer!r}": call.normalizer != "softmax",
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
    named = [reason for reason, holds in reasons.items() if holds]
    return f"it has no {' and no '.join(named)}" if named else None


def native(call: Call) -> Tensor:
    """Attention as `keras_attn.ops.attention` defines it, by PyTorch's fused kernel."""
    from torch.nn.functional import scaled_dot_product_attention

    alive, added = None, None
    allowed = call.mask
    if call.bias is not None:
        allowed = masks.combine(allowed, normalizers.unexcluded(call.bias))
    if allowed is not None:
        alive = ops.any(allowed, axis=-1, keepdims=True)
        # Rows that may attend to nothing attend to all, and are zeroed afterwards.
        added = ops.logical_or(allowed, ops.logical_not(alive))
        if call.bias is not None:
            bias = ops.where(allowed, ops.cast(call.bias, call.query.dtype), 0.0)
            added = ops.where(added, bias, -float("inf"))
    query, key, value = swap_heads(call.query), call.key, call.value
    if not call.heads_first:
        key, value = swap_heads(key), swap_heads(value)
    output = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=added,
        is_causal=call.is_causal,
        scale=call.scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    output = output if alive is None else ops.where(alive, output, 0.0)
    return ops.cast(swap_heads(output), call.value.dtype)
