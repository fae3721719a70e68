"""Documents in windows: every token is predicted once, from what stands before it."""

import numpy as np
import pytest

from keras_attn._token_ids import END_ID, PADDING_ID, START_ID
from keras_attn.batching import DocumentBatches, EncodedDocuments, WindowBatches
from keras_attn.batching.documents import windows

LENGTHS = (0, 1, 5, 6, 7, 20, 41)


@pytest.fixture(scope="module")
def encoded():
    # Ids are unique: a prediction names its document and place.
    firsts = np.cumsum([100, *LENGTHS])
    return EncodedDocuments(
        [np.arange(n, dtype="int32") + first for n, first in zip(LENGTHS, firsts, strict=False)]
    )


def predictions(batches):
    """Pairs of input and target of all tokens, without padding."""
    pairs = []
    for inputs, targets in batches:
        assert inputs.shape == targets.shape
        assert inputs.dtype == targets.dtype == np.int32
        mask = targets != PADDING_ID
        # Padding is at the end alone.
        assert (mask[:, :-1] >= mask[:, 1:]).all()
        pairs += zip(inputs[mask].tolist(), targets[mask].tolist(), strict=True)
    return pairs


def expected_pairs(encoded):
    rows = [encoded.tokens(row) for row in range(len(encoded))]
    return [pair for row in rows for pair in zip(row[:-1].tolist(), row[1:].tolist(), strict=True)]


@pytest.mark.parametrize("length", [1, 6, 7, 100])
def test_evaluation_predicts_every_token_once(encoded, length):
    batches = DocumentBatches(encoded, length, batch_size=3)
    assert sorted(predictions(batches)) == sorted(expected_pairs(encoded))
    assert max(inputs.shape[1] for inputs, _ in batches) <= length
    assert len(list(batches)) == len(batches)


@pytest.mark.parametrize("length", [1, 6, 100])
@pytest.mark.parametrize("static_shapes", [False, True])
def test_training_predicts_every_token_once_an_epoch(encoded, length, static_shapes):
    batches = WindowBatches(encoded, length, 4, seed=0, epochs=3, static_shapes=static_shapes)
    epochs = [
        [batches[epoch * batches.steps + step] for step in range(batches.steps)]
        for epoch in range(3)
    ]
    targets = sorted(target for _, target in expected_pairs(encoded))
    for epoch in epochs:
        received = predictions(epoch)
        assert sorted(target for _, target in received) == targets
        replaced = set(received) - set(expected_pairs(encoded))
        assert {before for before, _ in replaced} <= {START_ID}
    if static_shapes:
        assert {inputs.shape for inputs, _ in epochs[0]} == {(4, length)}
    first, second = (np.concatenate([t.ravel() for _, t in epoch]) for epoch in epochs[:2])
    assert length == 100 or first.tolist() != second.tolist()  # few batches may keep their order


def test_windows_within_a_document_sometimes_begin_with_the_start_token():
    encoded = EncodedDocuments([np.arange(4_000, dtype="int32") + 10])
    batches = WindowBatches(encoded, 8, 16, seed=1, epochs=1)
    begins = np.concatenate([inputs[:, 0] for inputs, _ in batches])
    assert 0.05 < (begins == START_ID).mean() < 0.16


def test_batches_depend_on_the_seed_and_the_index_alone(encoded):
    batches, again, other = (
        WindowBatches(encoded, 6, 4, seed=seed, epochs=2) for seed in (5, 5, 6)
    )
    last = len(batches) - 1
    for first, second in zip(batches[last], again[last], strict=True):
        np.testing.assert_array_equal(first, second)
    assert any(
        not np.array_equal(batches[index][1], other[index][1]) for index in range(len(batches))
    )


def test_a_first_window_may_be_cut_short():
    encoded = EncodedDocuments([np.zeros(9, "int32")])
    assert windows(encoded, 4, np.array([3])).tolist() == [[0, 0, 3], [0, 3, 4], [0, 7, 3]]
    ((inputs, targets),) = DocumentBatches(EncodedDocuments([np.zeros(0, "int32")]), 4, 1)
    assert (inputs.tolist(), targets.tolist()) == ([[START_ID]], [[END_ID]])


@pytest.mark.parametrize("documents, length, size", [([], 4, 4), ([[5]], 0, 4), ([[5]], 4, 0)])
def test_nothing_to_train_on_is_refused(documents, length, size):
    encoded = EncodedDocuments([np.array(ids, "int32") for ids in documents])
    with pytest.raises(ValueError, match="Training needs documents"):
        WindowBatches(encoded, length, size, seed=0, epochs=1)
