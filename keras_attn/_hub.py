"""Download folders that `save_to_preset` wrote from the Hugging Face Hub, by `huggingface_hub`."""

import logging
import pathlib
import re
from typing import Any, NamedTuple

from keras_attn import _model_folders as folders

PREFIX = "hf://"
_PART = r"[A-Za-z0-9_][\w.-]*"
_NAME = re.compile(rf"(?P<repository>{_PART}/{_PART})(@(?P<revision>[^@\s]+))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_log = logging.getLogger("keras_attn")


class Location(NamedTuple):
    """A repository of a hub, and which of its commits.

    Attributes:
        repository: Owner and name, such as `"owner/name"`.
        revision: A commit, a tag or a branch; None for the newest commit.
    """

    repository: str
    revision: str | None


def is_hub_name(name: object) -> bool:
    """Return whether a name denotes a repository of the Hugging Face Hub."""
    return isinstance(name, str) and name.startswith(PREFIX)


def parse(name: str) -> Location:
    """Return the parts of a name.

    Raises:
        ValueError: It is not of the form `hf://owner/name` or `hf://owner/name@revision`.

    Example:

    >>> parse("hf://owner/name@v1")
    Location(repository='owner/name', revision='v1')
    """
    match = _NAME.fullmatch(name.removeprefix(PREFIX))
    if match is None or ".." in name:
        raise ValueError(
            "A model of the Hugging Face Hub is named hf://owner/name, or "
            f"hf://owner/name@revision for a commit, a tag or a branch. Received: {name!r}."
        )
    return Location(match["repository"], match["revision"])


def pin(name: str) -> str:
    """Return the name with the commit that it denotes now, and log it if it named another.

    Without a network it is the commit that was downloaded last.

    Raises:
        ImportError: huggingface_hub is not installed.
        FileNotFoundError: There is no such repository, revision or model.
        OSError: It cannot be downloaded.
        ValueError: The name is not of the form of `parse`.
    """
    location = parse(name)
    if location.revision is not None and _COMMIT.fullmatch(location.revision):
        return name
    manifest = _download(location, folders.MANIFEST_FILE)
    pinned = f"{PREFIX}{location.repository}@{manifest.parent.name}"
    _log.warning(
        "%s is commit %s now. Load the same files later by %s", name, manifest.parent.name, pinned
    )
    return pinned


def download(name: str, sha256: str | None = None) -> pathlib.Path:
    """Download the files that a manifest lists, except the card, and return their folder.

    Files that are in the cache of `huggingface_hub` are not downloaded again.

    Args:
        name: A repository, see `parse`.
        sha256: The SHA-256 that the manifest must have, or None.

    Raises:
        ImportError: huggingface_hub is not installed.
        FileNotFoundError: There is no such repository, revision or model.
        OSError: A file cannot be downloaded.
        ValueError: The name is not of the form of `parse`; or see `_model_folders.read_manifest`.
    """
    location = parse(pin(name))
    manifest = _download(location, folders.MANIFEST_FILE)
    for file in folders.read_manifest(manifest, sha256):
        _download(location, file)
    return manifest.parent


def _download(location: Location, file: str) -> pathlib.Path:
    """Return the path of a file in the cache, whose folder has the name of the commit."""
    hub = _import_hub()
    from huggingface_hub import errors

    from keras_attn import __version__

    name = f"{PREFIX}{location.repository}"
    if location.revision is not None:
        name = f"{name}@{location.revision}"
    try:
        path = hub.hf_hub_download(
            location.repository,
            file,
            revision=location.revision,
            library_name="keras_attn",
            library_version=__version__,
        )
    except errors.HFValidationError as error:
        raise ValueError(f"{name!r} is no name of the Hugging Face Hub: {error}") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"There is no model {name!r} on the Hugging Face Hub, or it is private. Check its "
            "name; for private models run `hf auth login`, or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"The model {PREFIX}{location.repository} has no revision {location.revision!r}. Name "
            "a commit, a tag or a branch."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"{file} of {name!r} is not in the cache, and the Hugging Face Hub cannot be reached: "
            f"{_first_line(error.__cause__ or error)} Load it once with a network."
        ) from error
    except errors.EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{name!r} holds no {file}: `save_to_preset` of a model of this package did not write "
            "it, or its upload is not complete. Load models that Keras uploaded by "
            "keras.saving.load_model."
        ) from error
    except OSError as error:
        raise OSError(f"{file} of {name!r} cannot be downloaded: {_first_line(error)}") from error
    return pathlib.Path(path)


def _import_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "Models of the Hugging Face Hub need huggingface_hub: pip install 'keras-attn[hub]'."
        ) from error
    return huggingface_hub


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
