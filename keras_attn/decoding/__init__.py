"""Decoding of token sequences from a step model: greedy search, beam search, sampling."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.decoding.beams import beam_search
    from keras_attn.decoding.hypotheses import Hypotheses
    from keras_attn.decoding.restrictions import Automaton
    from keras_attn.decoding.rollouts import greedy, sample
    from keras_attn.decoding.step_model import StepModel

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "beams": ["beam_search"],
        "hypotheses": ["Hypotheses"],
        "restrictions": ["Automaton"],
        "rollouts": ["greedy", "sample"],
        "step_model": ["StepModel"],
    },
)
