"""Models as artifacts that need nothing of ours to run."""

from keras_attn.export.saved_model import import_tensorflow, write_saved_model

__all__ = ["import_tensorflow", "write_saved_model"]
