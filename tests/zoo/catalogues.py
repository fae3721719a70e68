"""Catalogues that are registered for a test."""

import contextlib

from keras_attn import zoo
from keras_attn.zoo import registry


@contextlib.contextmanager
def registering(folder):
    """Register the entries in a folder, or the entry that a folder is, until the block ends."""
    before = dict(registry._registered)
    zoo.register(folder)
    try:
        yield
    finally:
        registry._registered.clear()
        registry._registered.update(before)
