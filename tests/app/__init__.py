"""Tests of the page of `keras-attn app`."""
