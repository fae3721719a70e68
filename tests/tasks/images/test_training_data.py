"""Training data of image classification."""

from keras_attn.tasks.images.description import Augmentation
from keras_attn.tasks.images.training_data import augmentation_layers


def test_a_recipe_switches_them_on_with_seeds_of_their_own():
    layers = augmentation_layers(Augmentation(flip=True, shift=2, cutout=4, cutmix=1.0), seed=5)
    assert [type(layer).__name__ for layer in layers] == [
        "RandomFlip",
        "RandomShift",
        "Cutout",
        "CutMix",
    ]
    assert len({layer.seed for layer in layers}) == 4
    assert augmentation_layers(Augmentation(), seed=0) == []
