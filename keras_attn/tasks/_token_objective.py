"""The objective of training on tokens: cross-entropy, in blocks of logits where that is equal."""

from typing import Any

from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._tied_embedding import TiedEmbedding
from keras_attn.tasks.sequence_loss import TiedCrossentropy, token_weights
from keras_attn.tasks.training_data import Objective


class TokenObjective(Objective):
    """Cross-entropy per token.

    If its loss is a `TiedCrossentropy`, it is computed from the states before the logits.
    """

    @property
    def loss_updates_metrics(self) -> bool:
        return isinstance(self.loss, TiedCrossentropy)

    def outputs(self, task: Any, inputs: Any, training: bool) -> Tensor:
        if not isinstance(self.loss, TiedCrossentropy):
            return super().outputs(task, inputs, training)
        self.loss.training = training
        return task.network(inputs, training=training, return_states=True)

    def size(self, targets: Tensor) -> Tensor:
        """Return the number of tokens that are not padding."""
        return ops.sum(token_weights(targets))


def has_tied_logits(task: Any, task_class: type, network_class: type) -> bool:
    """Return whether logits are products of states and the table of embeddings, and floats.

    Args:
        task: A model with a `network`.
        task_class: The class whose `call` is that of the network.
        network_class: The class whose `call` and `logits` map states to logits by the table.
    """
    network = task.network
    return (
        type(task).call is task_class.call  # type: ignore[attr-defined]
        and type(network).call is network_class.call  # type: ignore[attr-defined]
        and type(network).logits is network_class.logits  # type: ignore[attr-defined]
        and isinstance(network.embedding, TiedEmbedding)
        and network.embedding.quantization_mode is None
    )
