"""Models as artifacts that need nothing of ours to run."""

from keras_attn.export.saved_model import write_saved_model

__all__ = ["write_saved_model"]
