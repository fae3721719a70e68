"""The identity of a run: a run resumes only from checkpoints with the same identity."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

_TITLES = {
    "digest": "recipe",
    "variant": "variant",
    "seed": "seed",
    "data": "training data",
    "label_names": "label names",
    "initial": "initial model",
}


@dataclasses.dataclass(frozen=True)
class Identity:
    """Everything that determines the outcome of a run.

    `splits`, `label_names` and `initial` are None in checkpoints and records that were written
    before these were recorded. None is equal to any value.

    Attributes:
        digest: Digest of the recipe, see `Recipe.digest`.
        variant: Variant of the recipe, or "".
        seed: Seed of the run.
        data: Fingerprint of the training split.
        splits: Fingerprints of the validation and test splits, by name.
        label_names: The labels of the data set, in order.
        initial: Digest of the weights that the run started from, or "".
    """

    digest: str
    variant: str
    seed: int
    data: str
    splits: dict[str, str] | None = None
    label_names: list[str] | None = None
    initial: str | None = None

    @classmethod
    def take_from(cls, content: dict[str, Any]) -> Self:
        """Return the identity in the content of a checkpoint, and remove it from the content.

        Raises:
            KeyError: A value is missing that every checkpoint has.
        """
        values = {}
        for field in dataclasses.fields(cls):
            if field.default is dataclasses.MISSING or field.name in content:
                values[field.name] = content.pop(field.name)
        return cls(**values)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the identity of a finished run.

        Raises:
            KeyError: A value is missing that every record has.
        """
        data = dict(record["data"])
        train = data.pop("train_sha256")
        digests = {key: value for key, value in data.items() if key.endswith("_sha256")}
        splits = {key.removesuffix("_sha256"): value for key, value in digests.items()}
        names = data.get("label_names")
        initial = record["initial"].get("weights_sha256") if "initial" in record else ""
        return cls(
            digest=record["recipe_digest"],
            variant=record["variant"],
            seed=record["seed"],
            data=train,
            splits=None if names is None else splits,
            label_names=names,
            initial=initial,
        )

    @property
    def data_record(self) -> dict[str, Any]:
        """The fingerprints and labels as a record holds them, under `data`."""
        digests = {f"{name}_sha256": digest for name, digest in (self.splits or {}).items()}
        return {"train_sha256": self.data, **digests, "label_names": self.label_names}

    @property
    def unrecorded(self) -> list[str]:
        """Parts that were not recorded yet when this identity was written."""
        titles = {**_TITLES, "splits": "validation and test data"}
        return [titles[name] for name, value in vars(self).items() if value is None]

    def differences(self, other: "Identity") -> list[str]:
        """Return what differs between two identities, as titles for a message.

        Example:

        >>> run = Identity("a1", "", 0, "b2", {"validation": "c3"}, ["no", "yes"])
        >>> run.differences(dataclasses.replace(run, seed=1, splits={"validation": "d4"}))
        ['seed', 'validation data']
        """
        titles = []
        for name, value in vars(self).items():
            theirs = getattr(other, name)
            if value is None or theirs is None or value == theirs:
                continue
            if name == "splits":
                keys = dict.fromkeys((*value, *theirs))
                differing = [key for key in keys if value.get(key) != theirs.get(key)]
                titles += [f"{key} data" for key in differing]
            else:
                titles.append(_TITLES[name])
        return titles
