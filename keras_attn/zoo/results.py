"""Read and check `results.json`, which may be damaged or come from somebody else."""

import pathlib
import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from keras_attn._files import read_json_object
from keras_attn.recipes.metrics import Metric

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


def _check_file_name(name: str) -> str:
    if not re.fullmatch(r"[^/\\:\x00-\x1f]+", name) or not name.strip("."):
        raise ValueError(f"must be the name of a file in the folder, not a path. It is: {name!r}")
    return name


FileName = Annotated[str, pydantic.AfterValidator(_check_file_name)]


class _Section(pydantic.BaseModel):
    """The keys that are read; others may be there."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True)


class _File(_Section):
    file: FileName
    sha256: Sha256
    bytes: Count


class _Calibration(_Section):
    temperature: float
    error_before: dict[str, float]
    error: dict[str, float]


class _Storage(_Section):
    dtype: Literal["float16", "float32"]
    validation: dict[str, float]


class _Weights(_File):
    parameters: Count
    seed: int
    values_sha256: Sha256 | None = None
    calibration: _Calibration = Field(default=None)  # type: ignore[assignment] # see _Results
    storage: _Storage = Field(default=None)  # type: ignore[assignment] # see _Results


class _Hardware(_Section):
    accelerators: list[str]
    cores: int
    processor: str


class _Segment(_Section):
    commit: str | None
    hardware: _Hardware


class _Data(_Section):
    name: str


class _Strategy(_Section):
    workers: int = 1


class _Run(_Segment):
    variant: str
    seed: int
    finished: str
    recipe_digest: str
    parameters: Count
    forward_flops: float
    train_flops: float
    train_seconds: float
    versions: dict[str, str]
    data: _Data
    metrics: dict[str, dict[str, Any]]
    strategy: _Strategy = _Strategy()
    earlier_pieces: list[_Segment] = []
    history: dict[str, list[float | None]] = {}


class _Example(_Section):
    input: str = ""  # missing for images
    target: str
    answer: str
    score: float | None


class _Method(_Section):
    deletion: list[float]
    insertion: list[float]
    agreement: float = Field(default=None)  # type: ignore[assignment] # see _Results


class _Explanations(_Section):
    examples: Count
    fractions: list[float]
    methods: dict[str, _Method]
    weights_sha256: Sha256


class _Results(_Section):
    weights: _Weights = Field(default=None)  # type: ignore[assignment] # missing, but not null
    runs: list[_Run] = []
    examples: list[_Example] = []
    explanations: _Explanations = Field(default=None)  # type: ignore[assignment]
    __pydantic_extra__: dict[str, _File]  # the asset files, by their stem


def read_results(path: pathlib.Path, metric: Metric) -> dict[str, Any]:
    """Return the content of a `results.json`, after checking all that is read for any task.

    Args:
        path: The file.
        metric: The primary metric of the entry's task, which every run must have.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not a JSON object, or a value is missing or of another type; the
            message names the file and the key.
    """
    content = read_json_object(path)
    _check(_Results, content, path)
    for index, run in enumerate(content.get("runs", ())):
        _check_metrics(run, metric, f"{path}: runs.{index}")
    return content


def read_record(path: pathlib.Path, metric: Metric) -> dict[str, Any]:
    """Return the content of the `record.json` of a run, after checking it as `read_results` does.

    Raises:
        OSError: The file cannot be read.
        ValueError: See `read_results`.
    """
    record = read_json_object(path)
    _check(_Run, record, path)
    _check_metrics(record, metric, str(path))
    return record


def _check(model: type[_Section], content: dict[str, Any], path: pathlib.Path) -> None:
    try:
        model.model_validate(content)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise ValueError(
            f"{path} is damaged, or not written by keras_attn: {key}: {problem['msg']}."
        ) from error


def _check_metrics(run: dict[str, Any], metric: Metric, where: str) -> None:
    """Raise ValueError unless a run has the metric, for the validation and the test split."""
    for split in ("validation", "test"):
        value = run["metrics"].get(split, {}).get(metric.key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"{where}.metrics.{split}.{metric.key} must be a number. It is: {value!r}."
            )
