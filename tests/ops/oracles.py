"""Closed forms in NumPy float64, from the papers, and the few helpers of the ops tests.

Nothing here looks at `keras_attn`. A masked key is one that a row never hears of: rows are
computed one by one, over the keys they may attend to.
"""

import keras
import numpy as np

# All distinct, so that a transposed axis cannot go unnoticed.
B, T, S, N, K, H, V = 2, 3, 5, 4, 2, 6, 7


# Normalizers, on one row of scores without masked entries.


def softmax(x):
    exponentials = np.exp(x - np.max(x))
    return exponentials / exponentials.sum()


def softmax1(x):
    """A softmax with one more key, of score 0, whose weight is thrown away."""
    return softmax(np.append(x, 0.0))[:-1]


def sigmoid(x):
    return 1.0 / (1.0 + len(x) * np.exp(-x))


def normalized_sigmoid(x):
    evidence = 1.0 / (1.0 + np.exp(-x))
    return evidence / evidence.sum()


def sparsemax(x):
    return _above_threshold(x, power=1)


def entmax15(x):
    return _above_threshold(x / 2.0, power=2)


def _above_threshold(x, power):
    """`max(x - t, 0) ** power` with the `t` at which it sums to 1, by bisection."""
    low, high = np.max(x) - 1.0, np.max(x)
    for _ in range(60):
        middle = (low + high) / 2.0
        if np.sum(np.maximum(x - middle, 0.0) ** power) > 1.0:
            low = middle
        else:
            high = middle
    return np.maximum(x - (low + high) / 2.0, 0.0) ** power


NORMALIZERS = {
    "softmax": softmax,
    "softmax1": softmax1,
    "sigmoid": sigmoid,
    "normalized_sigmoid": normalized_sigmoid,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}


def normalize(name, scores, mask=None):
    """Weights of every row of `scores`; a row with nothing allowed is 0."""
    scores = np.asarray(scores, "float64")
    mask = np.broadcast_to(True if mask is None else np.asarray(mask, bool), scores.shape)
    weights = np.zeros_like(scores)
    for row in np.ndindex(scores.shape[:-1]):
        allowed = mask[row]
        if allowed.any():
            weights[row][allowed] = NORMALIZERS[name](scores[row][allowed])
    return weights


# Attention.


def band(queries, keys, is_causal=False, window=None, q_offset=0):
    """Which keys each query sees, by the definition, one pair at a time."""
    seen = np.zeros((queries, keys), bool)
    for t, s in np.ndindex(queries, keys):
        position = t + q_offset
        width = window or keys + abs(q_offset) + queries
        seen[t, s] = position - width < s <= position if is_causal else abs(position - s) < width
    return seen


def attention(
    query, key, value, mask=None, bias=None, scale=None, normalizer="softmax", **band_arguments
):
    """The output `(B, T, N, V)` and the weights `(B, N, T, S)`."""
    query, key, value = (np.asarray(x, "float64") for x in (query, key, value))
    (batch, queries, heads, size), (keys, key_heads) = query.shape, key.shape[1:3]
    shape = (batch, heads, queries, keys)
    scores, output = np.zeros(shape), np.zeros((batch, queries, heads, value.shape[-1]))
    own = [n // (heads // key_heads) for n in range(heads)]
    for b, n, t, s in np.ndindex(shape):
        scores[b, n, t, s] = np.dot(query[b, t, n], key[b, s, own[n]])
    scores *= 1.0 / np.sqrt(size) if scale is None else scale
    scores += 0.0 if bias is None else np.asarray(bias, "float64")
    allowed = np.broadcast_to(True if mask is None else np.asarray(mask, bool), shape)
    allowed = allowed & np.isfinite(scores)  # a bias of -inf excludes a key
    weights = normalize(normalizer, scores, allowed & band(queries, keys, **band_arguments))
    for b, n, t in np.ndindex(batch, heads, queries):
        output[b, t, n] = weights[b, n, t] @ value[b, :, own[n]]
    return output, weights


# Positions.


def sinusoidal(positions, dim):
    """PE(p, 2i) = sin(p / 10000^(2i/d)), PE(p, 2i+1) = cos of the same."""
    encoding = np.zeros((*np.shape(positions), dim))
    for i in range(dim // 2):
        angle = np.asarray(positions, "float64") / 10_000.0 ** (2 * i / dim)
        encoding[..., 2 * i], encoding[..., 2 * i + 1] = np.sin(angle), np.cos(angle)
    return encoding


def rotary(x, positions):
    """Features `i` and `i + H/2` as one complex number, turned by `p / 10000^(2i/H)`."""
    half = x.shape[-1] // 2
    number = x[..., :half].astype("float64") + 1j * x[..., half:]
    speeds = 10_000.0 ** (-2.0 * np.arange(half) / x.shape[-1])
    turned = number * np.exp(1j * np.multiply.outer(positions, speeds))[..., None, :]
    return np.concatenate([turned.real, turned.imag], axis=-1)


def alibi_slopes(heads):
    """A geometric sequence from 2^(-8/n); else, by recursion, as the authors mix two of them."""
    if heads & (heads - 1) == 0:
        return [(2.0 ** (-8.0 / heads)) ** (i + 1) for i in range(heads)]
    below = 1 << (heads.bit_length() - 1)
    return alibi_slopes(below) + alibi_slopes(2 * below)[0::2][: heads - below]


# Helpers.


def inputs(key_heads=N, keys=S, queries=T, batch=B, seed=0):
    """A query, a key and a value, float32."""
    rng = np.random.default_rng(seed)
    shapes = (batch, queries, N, H), (batch, keys, key_heads, H), (batch, keys, key_heads, V)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def random_mask(*shape, seed=1):
    """Some of everything allowed, and nothing at all in the last row."""
    mask = np.random.default_rng(seed).random(shape) < 0.6
    mask.reshape(-1, shape[-1])[-1] = False
    return mask


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")).astype("float64")


def gradient(function, x):
    """The gradient at `x`, by the backend's autodiff, of a function with a scalar value."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(jax.numpy.asarray(x)))
    if keras.backend.backend() == "torch":
        import torch

        leaf = torch.tensor(x, requires_grad=True)
        return torch.autograd.grad(function(leaf), leaf)[0].numpy()
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()
