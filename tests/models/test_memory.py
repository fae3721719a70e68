"""Models that no machine can hold: one clear line."""

import dataclasses
import re

import pytest

from keras_attn import models
from keras_attn._memory import naming_lack_of_memory
from keras_attn.models import registry


@pytest.mark.slow
@pytest.mark.tensorflow
def test_weights_that_do_not_fit_into_memory_are_named():
    # More than an address space holds, so that no machine tries.
    with pytest.raises(MemoryError) as raised:
        models.build("small_attention_cnn", filters=(10**13, 4))
    assert re.fullmatch(
        r"Not enough memory for the weights of 'small_attention_cnn': .+\. Reduce its sizes\. "
        r"Received: filters=\(10000000000000, 4\)\.",
        str(raised.value),
    )


def test_a_lack_of_memory_without_settings_names_none(monkeypatch):
    def build(config):
        raise MemoryError("9 GB")

    info = models.describe_architecture("small_attention_cnn")
    info = dataclasses.replace(info, build=build)
    monkeypatch.setitem(registry._registered, "small_attention_cnn", info)
    with pytest.raises(MemoryError, match=r"9 GB\. Reduce its sizes\.$"):
        models.build("small_attention_cnn")


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match=r"^other$"), naming_lack_of_memory("it", "Wait"):
        raise RuntimeError("other")
    with (
        pytest.raises(MemoryError, match=r"^Not enough memory for it: RESOURCE_EXHAUSTED: 9 GB. W"),
        naming_lack_of_memory("training", "Wait"),
        naming_lack_of_memory("it", "Wait"),
    ):
        raise RuntimeError("RESOURCE_EXHAUSTED: 9 GB.\nmore")
