"""Embeddings whose table is also the matrix of an output layer."""

from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.ops.crossentropy import linear_crossentropy
from keras_attn.ops.layout import reshape


class TiedEmbedding(keras.layers.Embedding):
    """`keras.layers.Embedding` that also computes logits, by its transposed table.

    Unlike `keras.layers.ReversibleEmbedding`, its quantized logits have a gradient with respect to
    the states, so that LoRA of the layers before them can be trained.
    """

    def logits(self, states: Tensor) -> Tensor:
        """Return float32 logits `(..., V)` of states `(..., D)`."""
        rows = ops.reshape(states, (-1, states.shape[-1]))
        if self.quantization_mode == "int8":
            logits = self._int8_logits(rows)
        elif self.quantization_mode is not None:
            table = self(ops.arange(self.input_dim))  # dequantized
            logits = ops.matmul(rows, ops.transpose(ops.cast(table, rows.dtype)))
        else:
            logits = ops.matmul(rows, ops.transpose(ops.cast(self.embeddings, rows.dtype)))
        return reshape(ops.cast(logits, "float32"), (*ops.shape(states)[:-1], self.input_dim))

    def crossentropy(
        self, states: Tensor, targets: Tensor, weights: Tensor, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy of the logits of states, and the most probable ids.

        It is that of `logits`, with less memory and time, see `keras_attn.ops.linear_crossentropy`.

        Args:
            states: Float tensor `(..., D)`.
            targets: Ids `(...)`.
            weights: The weight of each target in the sum, `(...)`.
            **options: See `keras_attn.ops.linear_crossentropy`.

        Returns:
            A float32 scalar, and int32 ids `(...)`.

        Raises:
            ValueError: The table is quantized.
        """
        if self.quantization_mode is not None:
            raise ValueError(
                f"`crossentropy` takes a table of floats. That of {self.name!r} is quantized, in "
                f"mode {self.quantization_mode!r}. Compute the loss from `logits`."
            )
        total, predicted = linear_crossentropy(
            ops.reshape(states, (-1, states.shape[-1])),
            self.embeddings,
            ops.reshape(targets, (-1,)),
            ops.reshape(weights, (-1,)),
            **options,
        )
        return total, ops.reshape(predicted, ops.shape(targets))

    def quantize(self, mode: Any = None, type_check: bool = False, config: Any = None) -> None:
        """Quantize as the Keras layer does, which refuses a subclass by default."""
        super().quantize(mode, type_check=False, config=config)

    def _int8_logits(self, rows: Tensor) -> Tensor:
        """Return logits `(R, V)` of rows `(R, D)`: a product of integers, and the term of LoRA."""
        dtype = rows.dtype
        config = self.quantization_config
        quantizer = keras.quantizers.AbsMaxQuantizer(axis=-1)
        if config is not None:
            quantizer = config.activation_quantizer  # None quantizes the table alone

        @ops.custom_gradient
        def product(rows: Tensor, table: Tensor, scale: Tensor) -> Any:
            def gradient(*args: Any, upstream: Any = None) -> tuple[Any, None, None]:
                (upstream,) = args if upstream is None else (upstream,)
                floats = ops.cast(table, dtype) / ops.cast(scale, dtype)[:, None]
                return ops.matmul(upstream, floats), None, None

            divisor = ops.cast(scale, dtype)[None]
            if quantizer is None:
                result = ops.matmul(rows, ops.transpose(ops.cast(table, dtype)))
            else:
                rows, rows_scale = quantizer(rows, axis=-1)
                result = ops.cast(ops.matmul(rows, ops.transpose(table)), dtype)
                divisor = ops.cast(rows_scale, dtype) * divisor
            return result / divisor, gradient

        logits = product(
            rows,
            ops.convert_to_tensor(self._embeddings),
            ops.convert_to_tensor(self.embeddings_scale),
        )
        if self.lora_enabled:
            narrow = ops.matmul(rows, ops.transpose(ops.cast(self.lora_embeddings_b, dtype)))
            update = ops.matmul(narrow, ops.transpose(ops.cast(self.lora_embeddings_a, dtype)))
            logits += (self.lora_alpha / self.lora_rank) * update
        return logits
