"""SavedModels and answers for inputs that no user means, and memory in long use."""

import numpy as np
import pytest

from keras_attn import models
from keras_attn.tasks import from_architecture
from tests.conftest import ROOT
from tests.models.small_classifiers import IMAGES, SOUNDS, TEXTS

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:The first 12 subwords of a text are read:UserWarning"),
]
WORDS = ["a fine film", "a dull film", "so good and not bad", "A man in a red shirt plays."]
PAIRS = {
    "recurrent_translator": {"vocabulary_size": 300, "model_dim": 8, "units": 8},
    "translation_transformer": {
        **{"vocabulary_size": 300, "model_dim": 8, "num_heads": 2, "intermediate_dim": 8},
        **{"encoder_layers": 1, "decoder_layers": 1},
    },
}
DOCUMENTS = {
    "causal_transformer": {
        **{"vocabulary_size": 60, "context_length": 16, "model_dim": 8, "num_heads": 2},
        **{"num_layers": 1, "intermediate_dim": 8},
    },
}
SETTINGS = {**IMAGES, **SOUNDS, **TEXTS, **PAIRS, **DOCUMENTS}


@pytest.fixture
def hostile(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import _hostile_inputs

    return _hostile_inputs


@pytest.fixture(params=SETTINGS)
def kind(request):
    return request.param


def small_model(kind):
    if kind in PAIRS:
        model = from_architecture(kind, preprocessing={"max_length": 12}, **PAIRS[kind])
        model.adapt(WORDS * 5, WORDS[::-1] * 5)
        return model
    if kind in DOCUMENTS:
        model = from_architecture(kind, **DOCUMENTS[kind])
        model.adapt(WORDS)
        return model
    model = from_architecture(kind, ("a", "b"), **SETTINGS[kind])
    if kind in TEXTS:
        model.adapt(WORDS * 5, [0, 1, 0, 1] * 5)
    return model


def draw_of(kind, hostile):
    if kind in SOUNDS:
        return hostile.draw_waveforms
    return hostile.draw_images if kind in IMAGES else hostile.draw_texts


def fits_of(kind):
    """Whether an array of numbers is a waveform, or several, if the model reads them."""
    if kind not in SOUNDS:
        return lambda array: False
    return lambda array: array.dtype in ("float32", "uint8") and array.ndim in (1, 2)


def test_every_architecture_is_attacked():
    # See tests/tasks/forecasting/test_export.py and tests/tasks/detection/test_detector.py.
    others = (*models.list_architectures("forecasting"), "attention_detector")
    assert {*SETTINGS, *others} == set(models.list_architectures())


@pytest.mark.slow
def test_a_saved_model_answers_or_refuses_every_input(kind, hostile, tmp_path):
    import tensorflow as tf

    options = {"max_length": 8} if kind in DOCUMENTS else {}
    small_model(kind).export(tmp_path / "model", **options)
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    # Texts and waveforms come first, a rate or a seed second.
    arguments = serve.structured_input_signature[1]
    key, *further = sorted(arguments, key=lambda name: name in ("rate", "seed"))
    scalars = {"rate": tf.constant(8_000), "seed": tf.constant(1, tf.int64)}
    second = {name: scalars[name] for name in further}

    def answer(batch):
        dtype = tf.string if batch.dtype == object else None
        answers = serve(**{key: tf.constant(batch, dtype)}, **second)
        return {name: values.numpy() for name, values in answers.items()}

    refusals = (tf.errors.InvalidArgumentError, TypeError, ValueError)
    counts = hostile.attack(
        answer, refusals, draw_of(kind, hostile), inputs=500, fits=fits_of(kind)
    )
    assert counts.answered > 250
    assert counts.refused > 10


def ask(model, batch):
    method = model.classify if hasattr(model, "classify") else model.answers
    options = {"rate": 8_000} if hasattr(model, "rate") else {}
    options |= {"max_length": 8} if hasattr(model, "generate") else {}
    answers = method(batch, **options)
    answers = answers if isinstance(answers, list) else [answers]
    return {"score": np.array([answer.score for answer in answers], "float64")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["small_attention_cnn", "ngram_attention", "recurrent_translator"])
def test_a_few_hostile_inputs_are_answered_or_refused_in_python(kind, hostile):
    model = small_model(kind)
    counts = hostile.attack(
        lambda batch: ask(model, batch), (TypeError, ValueError), draw_of(kind, hostile), inputs=60
    )
    assert counts.answered > 10


@pytest.mark.slow
def test_hostile_inputs_are_answered_or_refused_in_python(kind, hostile):
    model = small_model(kind)
    counts = hostile.attack(
        lambda batch: ask(model, batch),
        (TypeError, ValueError),
        draw_of(kind, hostile),
        inputs=250,
        seed=1,
        fits=fits_of(kind),
    )
    assert counts.answered > 100


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["small_attention_cnn", "ngram_attention"])
def test_memory_is_flat_over_thousands_of_calls(kind, hostile):
    model = small_model(kind)
    random = np.random.default_rng(0)
    if kind in IMAGES:
        examples = list(random.integers(0, 256, (8, 20, 20, 3)).astype("uint8"))
    else:
        examples = [text.decode(errors="replace") for text in hostile.draw_texts(random)] + WORDS
    size = len(examples)
    call = lambda index: model.classify(examples[index % size])  # noqa: E731
    first, *_, last = hostile.soak(call, calls=800, warm_up=200)
    assert last - first < 8  # MiB; a traced function or a kept answer a call would be more
