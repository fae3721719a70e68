"""Quantized tasks, and tasks with LoRA: answers, files, exports and training."""

import keras
import numpy as np
import pytest

import keras_attn
from keras_attn import zoo
from keras_attn.tasks import from_architecture
from keras_attn.tasks._adaptation import lora_layers, quantized_layers
from tests.tasks import small_classifiers

pytestmark = pytest.mark.tensorflow
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype("uint8")
LINES = ["a dog runs .", "two dogs run .", "a cat sleeps .", "two cats sleep ."]


def new_images():
    return zoo.build("shapes_small_attention_cnn")


def new_texts(architecture="text_transformer"):
    model = small_classifiers.make(architecture, bag=True)
    model.adapt(small_classifiers.TEXTS, small_classifiers.LABELS)
    return model


def new_generation():
    keras.utils.set_random_seed(0)
    small = {"model_dim": 16, "num_heads": 2, "num_layers": 1, "intermediate_dim": 16}
    model = from_architecture("causal_transformer", vocabulary_size=30, context_length=9, **small)
    model.adapt(LINES)
    return model


def scores_of(answers):
    return np.array([answer.score for answer in answers])


# How to make a model, its answers as numbers, the inputs of its SavedModel, and the output that
# has the same numbers.
TASKS = {
    "images": (
        new_images,
        lambda m: scores_of(m.classify(IMAGES)),
        {"images": IMAGES},
        lambda outputs: outputs["score"],
    ),
    "texts": (
        new_texts,
        lambda m: scores_of(m.classify(small_classifiers.TEXTS)),
        {"texts": np.array(small_classifiers.TEXTS)},
        lambda outputs: outputs["score"],
    ),
    "n-grams": (
        lambda: new_texts("recurrent_attention"),
        lambda m: scores_of(m.classify(small_classifiers.TEXTS)),
        {"texts": np.array(small_classifiers.TEXTS)},
        lambda outputs: outputs["score"],
    ),
    "generation": (
        new_generation,
        lambda m: scores_of(m.generate(LINES, seed=3, max_length=5)),
        {"texts": np.array(LINES), "seed": np.int64(3)},
        lambda outputs: outputs["score"],
    ),
}
EXPORT = {"generation": {"max_length": 5}}


def exported(model, task, folder):
    """Return the numbers that the SavedModel of a model answers."""
    import tensorflow as tf

    _, _, inputs, output = TASKS[task]
    options = EXPORT.get(task, {})
    saved = tf.saved_model.load(str(model.export(folder, **options)))
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    return output(saved.signatures["serving_default"](**inputs)).numpy()


# Every entry of the zoo is quantized by benchmarks/quantization.py.
@pytest.mark.parametrize("task", ["images", "n-grams", "generation"])
def test_answers_files_and_exports_are_those_of_the_quantized_model(task, tmp_path):
    new, answers, *_ = TASKS[task]
    model = new()
    before = answers(model)  # compiles functions of the float model
    model.quantize("int8")
    after = answers(model)
    assert np.abs(after - before).max() > 0
    np.testing.assert_allclose(after, before, rtol=0.2, atol=0.2)
    model.save(tmp_path / "int8.keras")
    loaded = keras_attn.load(tmp_path / "int8.keras")
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert len(quantized_layers(loaded)) == len(quantized_layers(model)) > 0
    np.testing.assert_allclose(answers(loaded), after, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(exported(model, task, tmp_path / "1"), after, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=r"quantized already"):
        loaded.quantize("int8")


def test_what_cannot_be_done_with_a_quantized_model_is_refused():
    model = new_images()
    with pytest.raises(ValueError, match="provide either `mode` or `config`"):
        model.quantize()
    for mode in ("float8", "gptq"):
        config = keras.quantizers.GPTQConfig(dataset=[], tokenizer=None) if mode == "gptq" else None
        with pytest.raises(ValueError, match=f"takes mode='int8' .*'{mode}'.*not supported: i"):
            model.quantize(mode, config=config)
    with pytest.raises(ValueError, match="n-grams, most of its weights, have no int4 form"):
        new_texts("recurrent_attention").quantize("int4")
    with pytest.raises(ValueError, match="has no layer that Keras quantizes to int8 among"):
        model.quantize("int8", filters="absent")
    model.fit(IMAGES, np.zeros(8), verbose=0)
    model.quantize("int8")
    assert not model.optimizer.built
    with pytest.raises(ValueError, match="is quantized, and exports to 'onnx' are of float"):
        model.export("model.onnx", format="onnx")
    with pytest.raises(ValueError, match=r"1 layer are int8.*enable_lora\(rank=4\).*before"):
        model.fit(IMAGES, np.zeros(8), verbose=0)


def test_a_model_can_be_quantized_before_its_first_answer():
    model = new_texts("recurrent_attention")
    loaded = type(model).from_config(model.get_config())  # whose vocabulary is not built
    loaded.quantize("int8")
    assert quantized_layers(loaded)


@pytest.mark.slow
def test_int4_works_as_int8_does(tmp_path):
    _, answers, *_ = TASKS["generation"]
    model = new_generation()
    before = answers(model)
    model.quantize("int4")
    after = answers(model)
    assert np.abs(after - before).max() > 0
    model.save(tmp_path / "int4.keras")
    np.testing.assert_allclose(answers(keras_attn.load(tmp_path / "int4.keras")), after, rtol=1e-4)


@pytest.mark.slow
def test_weights_alone_can_be_quantized(tmp_path):
    model = new_generation()
    config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    model.quantize(config=config)
    table = model.network.embedding
    states = np.random.default_rng(0).normal(size=(1, 2, 16)).astype("float32")
    rows = keras.ops.convert_to_numpy(table(np.arange(table.input_dim)))
    logits = keras.ops.convert_to_numpy(table.logits(states))
    np.testing.assert_allclose(logits, states @ rows.T, rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "int8.keras")
    loaded = keras_attn.load(tmp_path / "int8.keras")
    assert loaded.network.embedding.quantization_config.activation_quantizer is None


@pytest.mark.slow
@pytest.mark.parametrize("change", ["int8", "lora"])
def test_the_explanation_of_a_text_is_that_of_the_changed_network(change):
    model = new_texts("recurrent_attention")
    text = small_classifiers.TEXTS[0]
    before = model.explain(text)
    if change == "int8":
        model.quantize("int8")
    else:
        model.enable_lora(2)
        for layer in lora_layers(model):
            layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    after = model.explain(text)
    assert np.abs(after.gradient_times_input - before.gradient_times_input).max() > 0
    assert np.isfinite(after.gradient_times_input).all()


LORA = {
    "texts": lambda m: m.fit(small_classifiers.TEXTS, small_classifiers.LABELS, verbose=0),
    "images": lambda m: m.fit(IMAGES, np.arange(8) % 4, verbose=0),
}


@pytest.mark.parametrize(("task", "quantized"), [("images", False), ("texts", True)])
def test_fit_changes_low_rank_updates_and_the_head_alone(task, quantized, tmp_path):
    new, answers, *_ = TASKS[task]
    model = new()
    if quantized:
        model.quantize("int8")
    before = answers(model)
    counts = model.enable_lora(2, lora_alpha=4)
    sizes = [int(np.prod(w.shape)) for w in model.trainable_weights]
    assert counts == (sum(sizes), model.count_params())
    np.testing.assert_array_equal(answers(model), before)
    head = set()
    if hasattr(model, "backbone"):
        inside = {id(w) for w in model.backbone.weights}
        head = {id(w) for w in model.network.trainable_weights if id(w) not in inside}
        assert head
        names = [w.name for w in model.network.trainable_weights if id(w) in head]
        assert any("kernel" in name for name in names)  # not the bias alone
    updates = {id(w) for w in model.weights if w.name.startswith("lora_")}
    assert updates
    assert {id(w) for w in model.trainable_weights} == updates | head
    values = [np.array(w) for w in model.weights]
    for _ in range(2):  # in the first step `A` has no gradient, because `B` is 0
        LORA[task](model)
    for weight, value in zip(model.weights, values, strict=True):
        changed = not np.array_equal(weight, value)
        assert changed == (id(weight) in updates | head), weight.path
    after = answers(model)
    assert np.abs(after - before).max() > 0
    exported_answers = exported(model, task, tmp_path / "1")
    np.testing.assert_allclose(exported_answers, after, rtol=1e-3, atol=1e-4)
    model.save(tmp_path / "lora.keras")
    loaded = keras_attn.load(tmp_path / "lora.keras")
    tolerance = 0.02 if quantized else 1e-4  # the merged kernels are quantized again
    np.testing.assert_allclose(answers(loaded), after, rtol=tolerance, atol=tolerance)
    assert [w.path for w in loaded.trainable_weights] == [w.path for w in model.trainable_weights]
    first = next(w for w in loaded.trainable_weights if w.name == "lora_kernel_a")
    assert np.any(first)  # Keras loads 0, with which neither would have a gradient
    LORA[task](loaded)


def test_arguments_of_lora_are_checked():
    model = new_images()
    for arguments, message in (
        ({"rank": 0}, "`rank` must be an integer of at least 1"),
        ({"rank": 2, "lora_alpha": 0.0}, "`lora_alpha` must be a positive number"),
        ({"rank": 2, "targets": "all"}, "`targets`.*A list names projections"),
        ({"rank": 2, "targets": ["query", "lock"]}, "`targets`.*'lock'"),
        ({"rank": 2, "targets": "dense"}, r"no layer of .* can have LoRA with targets='dense'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.enable_lora(**arguments)
    model.enable_lora(2, targets=["key"])
    assert [layer.name for layer in lora_layers(model)] == ["key"]
    model = new_images()
    model.enable_lora(2)
    with pytest.raises(ValueError, match="has LoRA of rank 2 already"):
        model.enable_lora(2)
