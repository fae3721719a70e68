"""The registry of architectures: what it accepts, lists, builds and rejects."""

import dataclasses
import importlib
import pkgutil

import keras
import pytest

from keras_attn import models, recipes
from keras_attn.ops import NORMALIZERS


@models.frozen_config
class LinearConfig:
    """Configuration of the architecture that these tests register."""

    num_classes: int = 10


def build_linear(config: LinearConfig) -> keras.Model:
    layers = [keras.Input((4,)), keras.layers.Dense(config.num_classes)]
    return keras.Sequential(layers)


@pytest.fixture
def linear():
    models.register_architecture("linear", task="shape_classification")(build_linear)
    yield models.describe_architecture("linear")
    models.unregister_architecture("linear")


def test_a_registered_architecture_is_described_listed_configured_and_built(linear):
    assert linear == models.ArchitectureInfo(
        "linear", "shape_classification", LinearConfig, build_linear
    )
    assert models.list_architectures("shape_classification") == ["linear"]
    assert "linear" in models.list_architectures()
    assert "linear" not in models.list_architectures("image_classification")
    assert models.configure("linear", num_classes=3) == LinearConfig(num_classes=3)
    assert models.build("linear", num_classes=3).output_shape == (None, 3)
    with pytest.raises(ValueError, match=r"num_class'.*Did you mean 'num_classes'"):
        models.build("linear", num_class=3)


def test_an_unregistered_architecture_is_gone():
    models.register_architecture("linear", task="shape_classification")(build_linear)
    models.unregister_architecture("linear")
    assert "linear" not in models.list_architectures()
    with pytest.raises(ValueError, match="Unknown architecture: received 'linear'"):
        models.unregister_architecture("linear")


def test_a_taken_name_is_rejected(linear):
    for name in ("linear", "attention_net"):
        with pytest.raises(ValueError, match=f"registered as '{name}' already"):
            models.register_architecture(name, task="image_classification")(build_linear)
    assert models.describe_architecture("linear") is linear


def test_the_config_class_may_be_an_argument(linear):
    @models.register_architecture("bare", task="shape_classification", config=LinearConfig)
    def build_bare(config):
        return build_linear(config)

    assert models.build("bare", num_classes=3).output_shape == (None, 3)
    models.unregister_architecture("bare")


@pytest.mark.parametrize("config", [None, int])
def test_a_builder_without_a_config_class_is_rejected(config):
    register = models.register_architecture("bare", task="shape_classification", config=config)
    with pytest.raises(TypeError, match="config class of 'bare' must be a dataclass"):
        register(lambda config: keras.Sequential())
    assert "bare" not in models.list_architectures()


def test_every_shipped_architecture_has_a_task_and_a_module_of_its_name():
    for name in models.list_architectures():
        info = models.describe_architecture(name)
        assert info.task in recipes.list_tasks()
        assert dataclasses.is_dataclass(info.config)
        module = importlib.import_module(f"keras_attn.models.{name}")
        assert info.build is getattr(module, f"build_{name}") is getattr(models, f"build_{name}")


def test_no_module_shares_its_name_with_what_the_package_exports():
    modules = {module.name for module in pkgutil.iter_modules(models.__path__)}
    assert not modules & set(models.__all__)


def test_an_unknown_architecture_suggests_a_near_one():
    with pytest.raises(ValueError, match="Did you mean 'attention_net'"):
        models.build("attention-net")


@pytest.mark.parametrize("name", ["compact_transformer", "attention_net", "small_attention_cnn"])
def test_a_setting_of_keras_is_answered_by_the_one_that_does_it(name):
    with pytest.raises(ValueError, match="received 'input_shape'") as error:
        models.build(name, input_shape=(64, 64, 3))
    assert "logit_scale" not in str(error.value).split("Accepted")[0]
    assert "Pass 'image_size'; `keras_attn.tasks.ImageClassifier` resizes" in str(error.value)


@pytest.mark.parametrize("name", models.list_architectures())
def test_a_wrong_normalizer_is_answered_by_the_accepted_values(name):
    without = [] if "transl" in name else ["none"]
    streaming = ["softmax", "softmax1", "sigmoid", "normalized_sigmoid"]
    with pytest.raises(ValueError, match="attention: must be one of") as error:
        models.configure(name, attention="sofmax")
    for accepted in (*without, *streaming):
        assert f"'{accepted}'" in str(error.value)
        assert models.configure(name, attention=accepted).attention == accepted
    assert "Received: 'sofmax'" in str(error.value)


def test_a_normalizer_that_is_registered_later_is_accepted(monkeypatch):
    monkeypatch.setitem(NORMALIZERS, "mine", NORMALIZERS["softmax"])
    assert models.configure("compact_transformer", attention="mine").attention == "mine"
    assert models.configure("attention_net", attention="mine").attention == "mine"
    monkeypatch.delitem(NORMALIZERS, "mine")
    with pytest.raises(ValueError, match="Received: 'mine'"):
        models.configure("attention_net", attention="mine")
