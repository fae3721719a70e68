"""A translator with trained weights, which several files use and do not change."""

import pytest

from keras_attn import zoo


@pytest.fixture(scope="session")
def translator():
    return zoo.build("multi30k_en_de_transformer")
