"""Pairs as ids, in batches of like length."""

import warnings

import numpy as np
import pytest

from keras_attn.batching import EncodedPairs, EvaluationBatches, PairBatches, prepare_batches

RNG = np.random.default_rng(0)


def _pairs(count: int = 200) -> EncodedPairs:
    lengths = RNG.integers(1, 30, (count, 2))
    sources = [np.append(RNG.integers(3, 50, n), 2) for n, _ in lengths]
    targets = [RNG.integers(3, 50, n) for _, n in lengths]
    return EncodedPairs(sources, targets, start_id=1, end_id=2)


def _rows(batches: PairBatches, epoch: int) -> list[tuple]:
    """The sources of an epoch in order, without padding."""
    found = []
    for step in range(batches.steps):
        inputs, outputs = batches[epoch * batches.steps + step]
        for source, read, predicted in zip(
            inputs["source"], inputs["target"], outputs, strict=True
        ):
            real = predicted[predicted != 0]
            assert read[0] == 1
            assert real[-1] == 2
            np.testing.assert_array_equal(read[1 : len(real)], real[:-1])
            assert not read[len(real) :].any()
            found.append((*source[source != 0].tolist(), -1, *real.tolist()))
    return found


def test_an_epoch_holds_every_pair_once_in_another_order():
    pairs = _pairs()
    batches = PairBatches(pairs, 300, seed=3, epochs=2)
    first, second = _rows(batches, 0), _rows(batches, 1)
    every = [
        (*source.tolist(), -1, *target.tolist(), 2)
        for source, target in zip(pairs.sources, pairs.targets, strict=True)
    ]
    assert sorted(first) == sorted(second) == sorted(every)
    assert first != second
    assert len(batches) == 2 * batches.steps


def test_batches_are_of_like_size_and_length():
    pairs = _pairs(2000)
    batches = PairBatches(pairs, 500, seed=0, epochs=1)
    sizes = [batches[step][0]["source"].size for step in range(batches.steps)]
    real = sum(len(ids) for ids in pairs.sources)
    assert real / sum(sizes) > 0.6  # the sides' lengths are of no relation here
    longer = [
        np.maximum(*(np.prod(x.shape) for x in batches[step][0].values()))
        for step in range(batches.steps)
    ]
    assert max(longer) < 2 * 500


def test_order_depends_on_seed_and_epoch_alone():
    pairs = _pairs()
    whole = PairBatches(pairs, 300, seed=3, epochs=3)
    drawn = [whole[index][1] for index in range(len(whole))]
    resumed = PairBatches(pairs, 300, seed=3, epochs=3)
    for index in range(2 * whole.steps, 3 * whole.steps):  # and nothing before
        np.testing.assert_array_equal(drawn[index], resumed[index][1])
    other = PairBatches(pairs, 300, seed=4, epochs=3)
    assert _rows(other, 0) != _rows(whole, 0)


def test_few_pairs_are_one_batch_and_none_are_refused():
    batches = PairBatches(_pairs(3), 10_000, seed=0, epochs=1)
    assert batches.steps == 1
    assert len(batches[0][1]) == 3
    with pytest.raises(ValueError, match="0 pairs"):
        PairBatches(EncodedPairs([], [], 1, 2), 10, seed=0, epochs=1)
    with pytest.raises(ValueError, match="0 tokens a batch"):
        PairBatches(_pairs(3), 0, seed=0, epochs=1)


def test_a_pair_longer_than_a_batch_is_read_all_the_same():
    sources = [np.arange(3, 100), *(np.array([3, 2]) for _ in range(5))]
    targets = [np.arange(3, 90), *(np.array([4]) for _ in range(5))]
    batches = PairBatches(EncodedPairs(sources, targets, 1, 2), 20, seed=0, epochs=1)
    rows = [len(batches[step][1]) for step in range(batches.steps)]
    assert min(rows) >= 1
    assert max(batches[step][1].shape[1] for step in range(batches.steps)) >= 88


@pytest.mark.parametrize("batch_tokens", [1, 60, 200, 400])
def test_every_pair_is_read_once_however_long_some_are(batch_tokens):
    lengths = [2, 300, 3, 5, 250, 4, 2, 2, 90, 7]
    ids = [np.full(length, 3 + row) for row, length in enumerate(lengths)]
    pairs = EncodedPairs(ids, ids, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batches = PairBatches(pairs, batch_tokens, seed=0, epochs=2)
    for epoch in range(2):
        read = [batches[epoch * batches.steps + step][0]["source"] for step in range(batches.steps)]
        assert all(len(rows) for rows in read)
        assert sorted(row[0] for rows in read for row in rows.tolist()) == list(range(3, 13))


def test_batches_with_fewer_tokens_than_a_pair_issue_a_warning():
    with pytest.warns(UserWarning, match="in tokens, not in pairs"):
        batches = PairBatches(_pairs(20), 2, seed=0, epochs=1)
    assert batches.steps == 20


def test_evaluation_goes_through_all_pairs():
    pairs = _pairs(70)
    batches = EvaluationBatches(pairs, 32)
    assert [len(batches[index][1]) for index in range(len(batches))] == [32, 32, 6]
    tokens = sum(int((batches[index][1] != 0).sum()) for index in range(len(batches)))
    assert tokens == pairs.target_lengths.sum()


@pytest.mark.tensorflow
def test_fit_takes_batches_of_every_length():
    pairs = _pairs(70)
    batches = PairBatches(pairs, 200, seed=0, epochs=1)
    dataset = prepare_batches(batches)
    assert int(dataset.cardinality()) == len(batches)
    for (inputs, outputs), index in zip(dataset, range(len(batches)), strict=True):
        np.testing.assert_array_equal(inputs["source"].numpy(), batches[index][0]["source"])
        np.testing.assert_array_equal(outputs.numpy(), batches[index][1])


def test_copies_are_adjacent():
    pairs = _pairs(50)
    single = PairBatches(pairs, 200, seed=0, epochs=1)
    double = PairBatches(pairs, 200, seed=0, epochs=1, copies=2)
    assert double.steps == single.steps
    for step in range(single.steps):
        expected, received = single[step], double[step]
        np.testing.assert_array_equal(received[1][::2], expected[1])
        np.testing.assert_array_equal(received[1][1::2], expected[1])
        np.testing.assert_array_equal(received[0]["source"][1::2], expected[0]["source"])


def test_pairs_may_be_given_anew_for_each_epoch():
    asked = []

    def pairs_of(epoch: int) -> EncodedPairs:
        asked.append(epoch)
        return EncodedPairs([np.array([3 + epoch, 2])] * 4, [np.array([9])] * 4, 1, 2)

    batches = PairBatches(pairs_of, 4, seed=0, epochs=3)
    sources = [batches[index][0]["source"][0, 0] for index in range(batches.steps, len(batches))]
    assert sources == [4] * batches.steps + [5] * batches.steps
    assert asked == [0, 1, 2]


def test_epochs_differ_in_who_is_together_and_in_what_order():
    batches = PairBatches(_pairs(), 300, seed=3, epochs=2)
    steps = range(batches.steps)
    found = [[batches[epoch * batches.steps + step][1] for step in steps] for epoch in (0, 1)]
    lengths = [[batch.shape[1] for batch in epoch] for epoch in found]
    assert sorted(lengths[0]) != lengths[0] != lengths[1]
    together = [{frozenset(map(bytes, batch)) for batch in epoch} for epoch in found]
    assert together[0] != together[1]


@pytest.mark.parametrize("copies", [1, 2])
def test_batches_with_static_shapes_hold_every_pair_once_in_few_shapes(copies):
    pairs = _pairs(2000)
    batches = PairBatches(pairs, 500, seed=3, epochs=2, copies=copies, static_shapes=True)
    every = [
        (*source.tolist(), -1, *target.tolist(), 2)
        for source, target in zip(pairs.sources, pairs.targets, strict=True)
        for _ in range(copies)
    ]
    orders = []
    for epoch in range(2):
        rows, shapes, tokens = [], set(), []
        for step in range(batches.steps):
            inputs, outputs = batches[epoch * batches.steps + step]
            assert inputs["source"].shape == inputs["target"].shape == outputs.shape
            shapes.add(outputs.shape)
            tokens.append(np.maximum(*((x > 0).sum(1) for x in inputs.values())).sum())
            for source, predicted in zip(inputs["source"], outputs, strict=True):
                if predicted.any():
                    rows.append(
                        (*source[source > 0].tolist(), -1, *predicted[predicted > 0].tolist())
                    )
                else:
                    assert not source.any()
        assert sorted(rows) == sorted(every)
        assert len(shapes) == len({length for _, length in shapes}) <= 4
        assert 0.7 * 500 * copies < np.mean(tokens) < 1.3 * 500 * copies
        orders.append(rows)
    assert orders[0] != orders[1]


def test_static_shapes_of_few_pairs_and_of_one_long_pair():
    assert PairBatches(_pairs(3), 10_000, seed=0, epochs=1, static_shapes=True).steps == 1
    pairs = _pairs(300)
    pairs.sources[7] = np.full(500, 5)
    batches = PairBatches(pairs, 300, seed=0, epochs=1, static_shapes=True)
    longest = max(batches[step][0]["source"].shape[1] for step in range(batches.steps))
    assert longest == 512
    assert sum((batches[step][1] > 0).any(1).sum() for step in range(batches.steps)) == 300
