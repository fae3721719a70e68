"""Exported models, which run without keras_attn."""

from keras_attn.export.ctranslate2 import write_ctranslate2
from keras_attn.export.litert import write_litert
from keras_attn.export.onnx import write_onnx
from keras_attn.export.saved_model import import_tensorflow, unwritten, write_saved_model
from keras_attn.export.warmup import WARMUP_FILE, warmup_records

__all__ = [
    "WARMUP_FILE",
    "import_tensorflow",
    "unwritten",
    "warmup_records",
    "write_ctranslate2",
    "write_litert",
    "write_onnx",
    "write_saved_model",
]
