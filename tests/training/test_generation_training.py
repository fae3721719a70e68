"""Training of text generation from states, without all logits in memory."""

import keras
import numpy as np
import pytest

from keras_attn import models, tasks
from keras_attn.layers._tied_embedding import TiedEmbedding
from keras_attn.ops import crossentropy
from keras_attn.tasks.generation.training_data import GenerationObjective
from keras_attn.tasks.sequence_loss import TiedCrossentropy, TokenCrossentropy
from keras_attn.training.learner import Learner

SIZES = {"vocabulary_size": 300, "model_dim": 16, "num_layers": 1, "num_heads": 2}
SETTINGS = {**SIZES, "context_length": 8, "intermediate_dim": 16, "dropout": 0.3}


@pytest.mark.parametrize("attention", ["softmax", "none"])
def test_the_loss_in_blocks_trains_as_the_loss_of_all_logits(attention, monkeypatch):
    monkeypatch.setattr(crossentropy, "MIN_ROWS", 16)  # three blocks, the last one padded
    monkeypatch.setattr(crossentropy, "MAX_LOGITS", 16 * 300)
    logits, computed = TiedEmbedding.logits, []
    monkeypatch.setattr(TiedEmbedding, "logits", lambda *a: computed.append(a) or logits(*a))
    ids = np.random.default_rng(0).integers(3, 300, (6, 7)).astype("int32")
    ids[2:4, 5:] = 0
    targets = np.roll(ids, -1, axis=1)
    logs, weights, counts = [], [], []
    for in_blocks in (True, False):
        keras.utils.set_random_seed(0)
        task = tasks.from_architecture("causal_transformer", attention=attention, **SETTINGS)
        objective = GenerationObjective(0.0, task if in_blocks else None)
        assert isinstance(objective.loss, TiedCrossentropy) == in_blocks
        learner = Learner(task, objective, [])
        optimizer = keras.optimizers.SGD(0.5)
        learner.compile(optimizer, loss=objective.loss, metrics=objective.metrics)
        logs.append([learner.train_on_batch(ids, targets, return_dict=True) for _ in range(3)])
        # Batches of 24 and 14 tokens, whose means do not count alike.
        logs[-1].append(learner.evaluate(ids, targets, 4, verbose=0, return_dict=True))
        weights.append(task.get_weights())
        counts.append(len(computed))
        computed.clear()
    assert counts[0] == 0 < counts[1]
    for ours, theirs in zip(*logs, strict=True):
        assert set(ours) == {"loss", "accuracy", "crossentropy"}
        assert ours == pytest.approx(theirs, rel=1e-5)
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


class WithBias(models.CausalTransformer):
    """A network whose logits are not those of the table alone."""

    def logits(self, states):
        return super().logits(states) + 1.0


def test_other_logits_and_smoothed_labels_are_trained_on_all_logits():
    task = tasks.from_architecture("causal_transformer", **SETTINGS)
    assert isinstance(GenerationObjective(0.0, task).loss, TiedCrossentropy)
    assert type(GenerationObjective(0.1, task).loss) is tasks.SequenceCrossentropy
    other = tasks.TextGenerator(WithBias(SETTINGS), task.tokenizer)
    assert type(GenerationObjective(0.0, other).loss) is tasks.SequenceCrossentropy
    with pytest.raises(ValueError, match="`label_smoothing` and `r_drop` of 0"):
        TiedCrossentropy(
            task.network.embedding,
            tasks.TokenAccuracy(),
            label_smoothing=0.1,
            crossentropy=TokenCrossentropy(),
        )
