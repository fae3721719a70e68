"""The entry of the zoo that a model came from, for the metadata of exported models."""

import dataclasses
import hashlib

import keras


@dataclasses.dataclass(frozen=True)
class Published:
    """The entry whose weights a model has.

    Attributes:
        entry: Name of the entry.
        card: Its card in Markdown; empty if it has none.
        fingerprint: That of the model with these weights.
    """

    entry: str
    card: str
    fingerprint: str


def fingerprint(model: keras.Model) -> str:
    """Return a digest of all variables of a model, which differs after any change of a weight."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.variables:
        digest.update(keras.ops.convert_to_numpy(variable).tobytes())
    return digest.hexdigest()
