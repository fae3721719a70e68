"""SavedModels that run without keras_attn."""

from keras_attn.export.saved_model import import_tensorflow, unwritten, write_saved_model

__all__ = ["import_tensorflow", "unwritten", "write_saved_model"]
