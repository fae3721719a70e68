"""Multi-head attention, self and cross."""

from typing import Any, Self

import keras
from keras import initializers, ops

from keras_attn.layers._sublayers import PACKAGE, fresh, positive, rank, rate
from keras_attn.ops import attention, normalizers, padding_mask

Tensor = Any

_KERAS_ONLY = (
    "attention_axes",
    "use_gate",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)
_SHARED = (
    *("num_heads", "key_dim", "value_dim", "dropout", "use_bias", "seed"),
    *("kernel_initializer", "bias_initializer", "name", "dtype", "trainable"),
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class MultiHeadAttention(keras.layers.Layer):
    """Multi-head attention (Vaswani et al., arXiv:1706.03762), self and cross.

    Arguments, their order and the shapes of the variables are those of
    `keras.layers.MultiHeadAttention`, so that weights copy over (see `from_keras`).
    What differs: padding is an argument of its own; a query that may attend to nothing
    gives exactly 0 before the output projection, on every path; nothing is accepted
    and then ignored.

    Args:
        num_heads: number of heads, `N`.
        key_dim: size of each head for queries and keys.
        value_dim: size of each head for values; None is `key_dim`.
        dropout: rate at which attention weights are dropped in training.
        use_bias: whether the projections have biases.
        output_shape: size of the output's last axis; None is that of the query.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        window: attend only to near positions, see `keras_attn.ops.attention`.
        kernel_initializer: initializer of the projections' kernels.
        bias_initializer: initializer of the projections' biases.
        seed: integer that makes the dropout repeatable.

    Call arguments:
        query: float tensor `(B, T, D)`.
        value: float tensor `(B, S, D')`.
        key: float tensor `(B, S, D'')`; None is `value`.
        padding_mask: `(B, S)`, True where a key is real. None takes the mask that
            Keras attached to `key`, or to `value`, if there is one.
        attention_mask: `(B, T, S)` or `(B, N, T, S)`, True = attend. Given both, a key
            must be allowed by both.
        return_attention_scores: also return the weights `(B, N, T, S)`.
        use_causal_mask: a query attends to positions up to its own.

    Returns:
        Tensor `(B, T, output_shape)`, and the weights before dropout if asked for.
        The output carries the query's mask on; no mask is altered.

    Example:

    >>> import numpy as np
    >>> layer = MultiHeadAttention(num_heads=2, key_dim=8)
    >>> x = np.ones((3, 5, 16), "float32")
    >>> real = np.arange(5)[None] < np.array([[5], [2], [3]])
    >>> output, scores = layer(x, x, padding_mask=real, return_attention_scores=True)
    >>> tuple(output.shape), tuple(scores.shape)
    ((3, 5, 16), (3, 2, 5, 5))
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | None = None,
        normalizer: str = "softmax",
        window: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        value_dim = key_dim if value_dim is None else value_dim
        positive(self, num_heads=num_heads, key_dim=key_dim, value_dim=value_dim)
        if output_shape is not None:
            positive(self, output_shape=output_shape)
        if window is not None:
            positive(self, window=window)
        rate(self, dropout=dropout)
        normalizers.get(normalizer)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.output_size = output_shape
        self.normalizer = normalizer
        self.window = window
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        rank(self, 3, "(batch, length, features)", query=query_shape)
        rank(self, 3, "(batch, length, features)", value=value_shape, key=key_shape)
        self.query_dense = self._projection("query", self.key_dim)
        self.key_dense = self._projection("key", self.key_dim)
        self.value_dense = self._projection("value", self.value_dim)
        self.output_dense = keras.layers.EinsumDense(
            "btnh,nhd->btd",
            output_shape=(None, self.output_size or query_shape[-1]),
            bias_axes="d" if self.use_bias else None,
            name="attention_output",
            **self._common(),
        )
        self.query_dense.build(query_shape)
        self.key_dense.build(key_shape)
        self.value_dense.build(value_shape)
        self.output_dense.build((*query_shape[:2], self.num_heads, self.value_dim))

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        key_mask: Tensor | None = None,  # Keras fills these two in from the tensors
        value_mask: Tensor | None = None,
    ) -> Any:
        key = value if key is None else key
        if padding_mask is None:
            padding_mask = key_mask if key_mask is not None else value_mask
        output, scores = attention(
            self.query_dense(query),
            self.key_dense(key),
            self.value_dense(value),
            mask=self._mask(padding_mask, attention_mask),
            is_causal=use_causal_mask,
            window=self.window,
            normalizer=self.normalizer,
            dropout=self.dropout if training else 0.0,
            seed=self.seed_generator,
            return_weights=True,
        )
        output = self.output_dense(output)
        return (output, scores) if return_attention_scores else output

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> tuple[int | None, ...]:
        return (*query_shape[:-1], self.output_size or query_shape[-1])

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        padding_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        key_mask: Any = None,
        value_mask: Any = None,
    ) -> Any:
        self._check_pairs(attention_mask)
        shape = self.compute_output_shape(query.shape, value.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        scores = (query.shape[0], self.num_heads, query.shape[1], value.shape[1])
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "output_shape": self.output_size,
            "normalizer": self.normalizer,
            "window": self.window,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }

    @classmethod
    def from_keras(cls, layer: keras.layers.MultiHeadAttention) -> Self:
        """Take over the settings and, if it is built, the weights of a Keras layer.

        Raises:
            ValueError: `layer` uses what has no equal here (`attention_axes`,
                `use_gate`, an output of several axes, regularizers, constraints).
        """
        config = layer.get_config()
        shape = config["output_shape"]
        unequal = [name for name in _KERAS_ONLY if config.get(name)]
        # A built Keras layer reports the axes that it derived: (1,) is the only case here.
        if tuple(config.get("attention_axes") or ()) == (1,):
            unequal.remove("attention_axes")
        if isinstance(shape, tuple | list):
            unequal += ["output_shape"] if len(shape) != 1 else []
            shape = shape[0]
        if unequal:
            raise ValueError(
                f"from_keras: {layer.name!r} uses {', '.join(unequal)}, which this layer does not "
                "have. Rebuild it without, or keep the Keras layer."
            )
        ours = cls(
            **{name: config[name] for name in _SHARED},
            output_shape=shape,
            window=config.get("sliding_window"),
        )
        if layer.built:
            build_config = layer.get_build_config() or {}
            ours.build(**build_config["shapes_dict"])
            ours.built = True
            ours.set_weights([w for dense in _projections(layer) for w in dense.get_weights()])
        return ours

    def _projection(self, name: str, size: int) -> keras.layers.EinsumDense:
        projection = keras.layers.EinsumDense(
            "btd,dnh->btnh",
            output_shape=(None, self.num_heads, size),
            bias_axes="nh" if self.use_bias else None,
            name=name,
            **self._common(),
        )
        projection.supports_masking = True  # or Keras warns that it destroys the input's mask
        return projection

    def _common(self) -> dict[str, Any]:
        return {
            "kernel_initializer": fresh(self.kernel_initializer),
            "bias_initializer": fresh(self.bias_initializer),
            "dtype": self.dtype_policy,
        }

    def _mask(self, padding: Tensor | None, pairs: Tensor | None) -> Tensor | None:
        """One mask of rank 4 from a padding mask and a mask over pairs."""
        self._check_pairs(pairs)
        if pairs is not None:
            pairs = ops.cast(pairs, "bool")
            pairs = pairs[:, None] if len(pairs.shape) == 3 else pairs
        if padding is None:
            return pairs
        padding = padding_mask(padding)
        return padding if pairs is None else ops.logical_and(padding, pairs)

    def _check_pairs(self, pairs: Tensor | None) -> None:
        if pairs is not None and len(pairs.shape) not in (3, 4):
            raise ValueError(
                f"{self.name}: `attention_mask` must have shape (batch, queries, keys) or "
                f"(batch, heads, queries, keys). Received: shape {tuple(pairs.shape)}. A "
                "(batch, keys) mask is a `padding_mask`: pass it as that."
            )


def _projections(layer: Any) -> list[Any]:
    return [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
