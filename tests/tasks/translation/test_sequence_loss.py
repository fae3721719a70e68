"""Loss and accuracy of tokens, beside closed forms."""

import numpy as np
import pytest

from keras_attn.tasks import SequenceCrossentropy, TokenAccuracy, divergence_of_copies
from keras_attn.tasks.sequence_loss import token_losses

B, T, V = 3, 5, 7
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(B, T, V)).astype("float32") * 3
IDS = np.array([[3, 1, 6, 0, 0], [2, 2, 5, 4, 1], [0, 0, 0, 0, 0]])


def _expected(smoothing: float) -> np.ndarray:
    logits = LOGITS.astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    target = np.eye(V)[IDS] * (1 - smoothing) + smoothing / V
    return -(target * log_p).sum(-1) * (IDS != 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_mean_over_real_tokens(smoothing):
    expected = _expected(smoothing)
    real, losses = token_losses(IDS, LOGITS, smoothing)
    np.testing.assert_array_equal(np.asarray(real), IDS != 0)
    np.testing.assert_allclose(np.asarray(losses), expected, rtol=1e-5)
    loss = SequenceCrossentropy(smoothing)(IDS, LOGITS)
    np.testing.assert_allclose(float(loss), expected.sum() / (IDS != 0).sum(), rtol=1e-5)


def test_values_at_padding_change_nothing():
    changed = np.where((IDS == 0)[..., None], 50.0, LOGITS).astype("float32")
    assert float(SequenceCrossentropy(0.1)(IDS, changed)) == pytest.approx(
        float(SequenceCrossentropy(0.1)(IDS, LOGITS))
    )
    for logits in (LOGITS, changed):
        accuracy = TokenAccuracy()
        accuracy.update_state(IDS, logits)
        right = (LOGITS.argmax(-1) == IDS)[IDS != 0]
        assert float(accuracy.result()) == pytest.approx(right.mean())
        accuracy.update_state(IDS[:1, :3], np.eye(V)[IDS[:1, :3]])  # another batch, a short one
        right = np.append(right, [True] * 3)
        assert float(accuracy.result()) == pytest.approx(right.mean())


def test_nothing_but_padding_loses_nothing():
    assert float(SequenceCrossentropy()(np.zeros((2, 3), int), LOGITS[:2, :3])) == 0.0


def test_loss_and_accuracy_come_back_from_their_configuration():
    loss = SequenceCrossentropy(0.2)
    again = SequenceCrossentropy.from_config(loss.get_config())
    assert again.label_smoothing == 0.2
    assert TokenAccuracy.from_config(TokenAccuracy(name="right").get_config()).name == "right"


@pytest.mark.parametrize("wrong", [-0.1, 1.0])
def test_impossible_smoothing_is_refused(wrong):
    with pytest.raises(ValueError, match="`label_smoothing`"):
        SequenceCrossentropy(wrong)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"label_smothing": 0.1}, TypeError, "label_smothing"),
        ({"reduction": "sum"}, ValueError, r"`reduction` must be None.*'sum'\. Leave it out"),
        ({"dtype": "float16"}, ValueError, r"`dtype` must be .*'float16'\. Leave it out"),
    ],
)
def test_other_options_of_the_loss_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        SequenceCrossentropy(**options)
    SequenceCrossentropy(reduction=None, dtype="float32")


def test_the_divergence_of_copies_by_hand():
    logits = RNG.normal(size=(4, T, V)).astype("float32")
    ids = np.repeat(IDS[:2], 2, axis=0)
    p = np.exp(logits.astype("float64"))
    p /= p.sum(-1, keepdims=True)
    one, other = p[::2], p[1::2]
    kl = [(a * np.log(a / b)).sum(-1) for a, b in ((one, other), (other, one))]
    real = ids[::2] != 0
    expected = (real * (kl[0] + kl[1]) / 2).sum() / real.sum()
    np.testing.assert_allclose(float(divergence_of_copies(ids, logits)), expected, rtol=1e-5)
    same = np.repeat(logits[:2], 2, axis=0)
    assert float(divergence_of_copies(ids, same)) == pytest.approx(0.0, abs=1e-7)
