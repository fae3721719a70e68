"""The base class of all models that convert raw input into answers."""

import importlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import keras

from keras_attn import __version__
from keras_attn._files import write_text
from keras_attn._warnings import warn_user
from keras_attn.export import (
    WARMUP_FILE,
    import_tensorflow,
    warmup_records,
    write_onnx,
    write_saved_model,
)
from keras_attn.recipes import Recipe, Signature, TaskDescription
from keras_attn.tasks import _adaptation
from keras_attn.tasks._adaptation import TrainableParameters
from keras_attn.tasks._fitting import RawInputModel
from keras_attn.tasks._preset_writing import write_preset
from keras_attn.tasks.example_answers import ExampleAnswer
from keras_attn.tasks.published import Published, fingerprint
from keras_attn.tasks.training_data import TrainingData

if TYPE_CHECKING:
    from rich.console import RenderableType

    from keras_attn.datasets import Dataset, DatasetInfo


class Answer(Protocol):
    """The answer for one example, such as a `Classification` or a `Translation`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a dictionary that can be written as JSON."""

    def to_columns(self, top: int) -> dict[str, str]:
        """Return the cells of a table row by column title, with at most `top` alternatives."""


class Explanation(Protocol):
    """The explanation of one answer. Notebooks and `print` can display it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as a dictionary that can be written as JSON."""

    def to_html(self) -> str:
        """Return an HTML snippet that needs no style sheet."""

    def to_page(self) -> str:
        """Return a complete HTML page."""

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable for terminals."""


class Report(Protocol):
    """An evaluation in detail, such as a `ClassificationReport`."""

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics that `Task.evaluate_split` returns."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report with its metrics as a dictionary that can be written as JSON."""

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable for terminals."""

    def plot(self) -> Any:
        """Return a matplotlib `Figure`."""


class Task(RawInputModel):
    """A Keras model that converts raw input into answers.

    A task combines a network with everything that is needed to get from raw input to an answer:
    preprocessing, labels or vocabulary, calibration. It is a `keras.Model`: `fit`, `evaluate`,
    `predict` and `save` work as usual, and `export` writes a SavedModel that takes raw input.

    To add a task, define a subclass and its `keras_attn.recipes.TaskDescription`, and register
    the description with `keras_attn.recipes.register_task`. Recipes, training, the zoo, cards and
    the command line then support it. A subclass must define:

    - `description`: its `TaskDescription`.
    - `parts`: the names of the constructor arguments that are Keras objects, such as
      `("network",)`; they are saved and loaded with the model.
    - `network`: an attribute with the network itself, whose parameters are counted.
    - `call(inputs, training)`, and `get_config()` if the constructor has arguments that are not
      in `parts`.
    - `from_architecture`: build the model from a registered architecture.
    - `training_data`: the training and validation examples of a run as batches.
    - `evaluate_split`: all metrics of a split, for records.
    - `answers`: the answers for a list of raw inputs.
    - `serving_function`: the function to export.

    A subclass may also define:

    - `adapt`: learn statistics or a vocabulary from training examples, before `fit`.
    - `adapt_to_split`: `adapt` at the start of a training run.
    - `finalize`: the last step of training, such as calibration, and
      `variables_set_after_training`.
    - `asset_files`, `write_assets`, `read_assets`: files that accompany a `.weights.h5` file,
      and are in the folder of `save_to_preset`, such as a vocabulary. In a `.keras` file, Keras
      saves the assets of `parts` itself.
    - `further_serving_functions`: functions of further signatures to export.
    - `export_writers`: functions that write further formats.
    - `export_info`: metadata of exported models, such as label names.
    - `warmup_requests`: example requests of the SavedModel.
    - `explain`: explain one answer.
    - `example_answers`: answers for a few examples, for cards.
    - `explanation_curves`: how faithful its explanations are, for cards.
    - `report`: evaluate by class.
    - `backbone`, `features`, `copy_backbone`: for tasks that can start from a trained backbone.
    - `preprocess_inputs`, `preprocess_targets`, `preprocess_batch`: convert the arguments of
      `fit`, `evaluate` and `predict` into inputs and targets of the network.

    Attributes:
        initialized_from: Origin of the backbone's weights in a new model: the `entry`, its
            `weights_sha256` and the names of the `new_layers`; None for other models.

    Example: see `tests/tasks/toy_task.py` for a complete task in one file.
    """

    description: ClassVar[TaskDescription]
    asset_files: ClassVar[tuple[str, ...]] = ()
    _published: Published | None = None

    # Construction

    @classmethod
    def from_architecture(
        cls,
        architecture: str,
        *,
        label_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a model of a registered architecture, with fresh weights.

        Args:
            architecture: Name of an architecture of `keras_attn.models`.
            label_names: The name of each class, if the task has classes.
            preprocessing: Settings of the preprocessing, see `Recipe.preprocessing`.
            **settings: Settings of the architecture.
        """
        raise NotImplementedError

    @classmethod
    def from_preset(cls, name: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Self:
        """Return the model of a zoo entry, of a folder, or of the Hugging Face Hub.

        Args:
            name: An entry; a folder that `save_to_preset` wrote, or a `.keras` file; or
                `"hf://owner/name"`, with `@revision` for a commit, a tag or a branch.
            *args: See `keras_attn.zoo.build`.
            **kwargs: See `keras_attn.zoo.build`.

        Raises:
            ValueError: The entry or the model belongs to another task. For other errors see
                `keras_attn.zoo.build`.

        Example:

        >>> from keras_attn.tasks import ImageClassifier
        >>> ImageClassifier.from_preset("shapes_small_attention_cnn").label_names
        ('red', 'green', 'blue', 'yellow')
        """
        # Imported by name, because the zoo depends on the tasks.
        zoo = importlib.import_module("keras_attn.zoo")
        if zoo.is_saved(name):
            model = zoo.build(name, *args, **kwargs)
            if not isinstance(model, cls):
                raise ValueError(
                    f"{str(name)!r} holds a {type(model).__name__}, and not a {cls.__name__}. Load "
                    f"it by {type(model).__name__}.from_preset, or by keras_attn.load."
                )
            return model
        task = zoo.describe(name).recipe.task
        if cls.description.name != task:
            raise ValueError(
                f"{name!r} is an entry for {task}, and {cls.__name__} does "
                f"{cls.description.name}. Choose one of keras_attn.list_models(task=...)."
            )
        return zoo.build(name, *args, **kwargs)

    def save_to_preset(
        self,
        preset_dir: str | os.PathLike[str],
        *,
        weights_format: str = "h5",
        license: str | None = None,  # noqa: A002  # as model cards name it
        tags: Sequence[str] = (),
    ) -> pathlib.Path:
        """Write the model into a folder that can be uploaded to a hub of models.

        `keras_attn.load` and `from_preset` load the folder, or what was uploaded of it. It holds
        `config.json`, `metadata.json`, the weights, assets such as `vocabulary.txt`, a card
        (`README.md`) with the metadata that the Hugging Face Hub reads, and `manifest.json` with
        the size and the SHA-256 of each file. It does not hold how the model is compiled.

        Args:
            preset_dir: Folder to write. It may exist if it is empty.
            weights_format: `"h5"` for `model.weights.h5`, or `"safetensors"` for
                `model.safetensors`, which needs safetensors.
            license: Identifier of the license of the weights, such as `"cc-by-4.0"`. None leaves
                it out of the card.
            tags: Further tags of the card.

        Returns:
            The path of the folder.

        Raises:
            FileExistsError: The folder exists and is not empty.
            ValueError: The format is unknown, the license is not an identifier, weights are NaN or
                infinite, or a model of texts has no vocabulary yet.
            ImportError: safetensors is not installed.
            OSError: The folder cannot be written, for example because the disk is full. Nothing is
                left of it.

        Example:

        >>> import pathlib, tempfile
        >>> import keras_attn
        >>> model = keras_attn.zoo.build("shapes_small_attention_cnn")
        >>> folder = model.save_to_preset(pathlib.Path(tempfile.mkdtemp(), "shapes"))
        >>> sorted(path.name for path in folder.iterdir())
        ['README.md', 'config.json', 'manifest.json', 'metadata.json', 'model.weights.h5']
        >>> keras_attn.load(folder).label_names
        ('red', 'green', 'blue', 'yellow')
        """
        return write_preset(self, preset_dir, weights_format, license, tags)

    def write_assets(self, folder: str | os.PathLike[str]) -> None:
        """Write `asset_files` into a folder."""

    def read_assets(self, folder: str | os.PathLike[str]) -> None:
        """Read `asset_files` from a folder.

        Raises:
            ValueError: A file is missing, damaged or does not fit the model.
        """

    def use_dataset_info(self, info: "DatasetInfo | Dataset[Any]") -> None:
        """Set attributes from the description of a data set, such as the target language.

        It is called for models that are trained, or have been trained, on that data set.
        """

    # Training

    def adapt(self, *examples: Any) -> None:
        """Learn statistics or a vocabulary from training inputs and, if needed, targets.

        Call it once on a new model, before `fit`. The default does nothing.
        """

    def adapt_to_split(self, split: Any) -> None:
        """Adapt to the training split of a run: call `adapt` on its inputs and targets.

        A subclass overrides it if a split holds other targets than `adapt` takes.
        """
        self.adapt(split.inputs, split.targets)

    @property
    def variables_set_after_training(self) -> tuple[keras.Variable, ...]:
        """Variables that `finalize` sets, and that checkpoints need not hold."""
        return ()

    def _check_adaptable(self) -> None:
        """Raise ValueError if `adapt` would replace what loaded weights depend on.

        It issues a warning if `fit` has trained the weights.
        """
        if self._has_loaded_weights_file and not self._is_adapted:
            raise ValueError(
                "This model has loaded weights, which depend on the statistics or the vocabulary "
                "that their own model was adapted to. Load a .keras file, which holds both; or "
                "call `adapt` on the same examples before `load_weights`."
            )
        if self.initialized_from is not None or (self._has_loaded_weights and self._is_adapted):
            raise ValueError(
                "This model has trained weights, which depend on the statistics or the vocabulary "
                "that `adapt` would replace. Call `fit` without `adapt`; or build the model with "
                "weights=None to train it from scratch."
            )
        optimizer = getattr(self, "optimizer", None)
        if optimizer is not None and optimizer.built and int(optimizer.iterations) > 0:
            warn_user(
                "`adapt` replaces the statistics or the vocabulary that `fit` has trained this "
                "model with: its weights no longer fit them. Call `adapt` once, before `fit`; to "
                "train anew, build a new model."
            )

    @property
    def _is_adapted(self) -> bool:
        """Return whether the model has statistics or a vocabulary that weights may depend on."""
        return True

    def training_data(self, dataset: "Dataset[Any]", recipe: Recipe) -> TrainingData:
        """Return the training and validation examples of a data set as batches for a run.

        The model is already adapted, and this method must not change it.
        """
        raise NotImplementedError

    def finalize(self, data: TrainingData) -> dict[str, Any]:
        """Do the last step of training, such as calibration.

        Returns:
            Entries to add to the record of the run.
        """
        return {}

    def evaluate_split(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Return all metrics of a split, independently of how the model is compiled.

        Args:
            *args: A split of a data set for this task.
            **options: The options in `Recipe.evaluation` of the task's recipes.

        Returns:
            Metrics by key, including `description.primary_metric.key`, `loss` and the number of
            `examples`. All values can be written as JSON.
        """
        raise NotImplementedError

    def report(self, *args: Any, **options: Any) -> "Report | None":
        """Return an evaluation in more detail than `evaluate_split`, such as by class.

        Args:
            *args: A split of a data set for this task.
            **options: See `evaluate_split`.

        Returns:
            The report, or None if the task has none.
        """
        return None

    # Answers

    def answers(self, *args: Any, **options: Any) -> list[Any]:
        """Return the answer for each raw input, in input order.

        Args:
            *args: A list of raw inputs, of the kind that `description.reads` names.
            **options: Options named in `description.prediction_options`.

        Returns:
            An `Answer` for each input.
        """
        raise NotImplementedError

    def explain(self, *args: Any, **options: Any) -> Explanation:
        """Explain the answer for one input.

        Args:
            *args: A raw input.
            **options: Options named in `description.explanation_options`.

        Raises:
            NotImplementedError: The task has no explanations.
        """
        raise NotImplementedError(f"{type(self).__name__} does not explain its answers.")

    def example_answers(self, split: Any, count: int = 5) -> list[ExampleAnswer]:
        """Return a few examples of a split with the model's answers, for cards.

        The examples are the first of the split that fit a rule, so that nobody selects them.

        Args:
            split: A split of a data set for this task.
            count: Number of examples.

        Returns:
            The examples; none if the task does not support it.
        """
        return []

    def explanation_curves(self, split: Any, count: int = 50) -> dict[str, Any]:
        """Return how faithful explanations are, for cards.

        Args:
            split: A split of a data set for this task.
            count: Number of examples, the first of the split.

        Returns:
            Deletion and insertion curves, see `keras_attn.tasks.deletion_insertion`; empty if the
            task does not support it.
        """
        return {}

    # The trained backbone

    @property
    def backbone(self) -> keras.Model:
        """The network without its head: a model from the network's input to features.

        It shares its layers with the network, so `model.backbone.trainable = False` freezes them.

        Raises:
            AttributeError: The task has no backbone.
        """
        raise AttributeError(f"{type(self).__name__} has no backbone.")

    def backbone_settings(self) -> dict[str, Any]:
        """Return settings of the architecture that give the same backbone for other labels."""
        return {}

    def copy_backbone(self, source: "Task") -> list[str]:
        """Copy the preprocessing and backbone of a trained model of the same architecture.

        Returns:
            The names of the layers whose weights are not copied.

        Raises:
            ValueError: The models differ in task or architecture, or have no backbone.
        """
        raise ValueError(
            f"{type(self).__name__} has no head to replace: its trained weights are used whole."
        )

    # Small weights and small updates

    def quantize(
        self, mode: str | None = None, config: Any = None, filters: Any = None, **kwargs: Any
    ) -> None:
        """Quantize dense layers and embeddings, as `keras.Model.quantize` does.

        Products of the layers become products of integers, with inputs quantized on the way.
        Convolutions, recurrent cells and normalization stay as they are: Keras has no quantized
        form of them. Answers, explanations, `save` and `export` are then those of the quantized
        model. It cannot be trained, except by `enable_lora`.

        Args:
            mode: `"int8"` or `"int4"`.
            config: A `keras.quantizers.QuantizationConfig`, in place of `mode`.
            filters: Which layers to quantize, see `keras.Model.quantize`.
            **kwargs: See `keras.Model.quantize`.

        Raises:
            ValueError: The mode is not supported, the model is quantized already, or no layer can
                be quantized.

        Example:

        >>> from keras_attn import zoo
        >>> model = zoo.build("shapes_small_attention_cnn")
        >>> model.quantize("int8")
        >>> model.network.get_layer("logits").quantization_mode
        'int8'
        """
        _adaptation.quantize(self, mode or config.mode, config, filters, kwargs)

    def enable_lora(
        self, rank: int, lora_alpha: float | None = None, targets: str | Sequence[str] = "attention"
    ) -> TrainableParameters:
        """Train low-rank updates of projections alone (Hu et al., arXiv:2106.09685).

        The backbone is frozen, except for the updates; the head, if the task has one, stays
        trainable, by updates of its own where it is quantized. Answers do not change before `fit`,
        and the state of the optimizer is reset. `save` merges
        the updates into the weights, and a loaded model has new updates, which begin at 0.

        Args:
            rank: Rank of the updates.
            lora_alpha: Scale of the updates, times `rank`; None is `rank`.
            targets: `"attention"` for the projections of query and value of attention layers, or
                all projections where a layer has no such pair; `"dense"` for all dense layers; or
                names of projections, such as `["query", "key", "value"]`.

        Returns:
            The numbers of trainable parameters and of all parameters.

        Raises:
            ValueError: An argument is out of range, no layer can have LoRA, or it is enabled
                already.

        Example:

        >>> from keras_attn import zoo
        >>> model = zoo.build("shapes_small_attention_cnn")
        >>> model.enable_lora(rank=2).trainable < model.count_params()
        True
        """
        try:
            backbone = self.backbone.layers
        except AttributeError:  # the task has no head
            backbone = [self.network]
        return _adaptation.enable_lora(self, backbone, rank, lora_alpha, targets)

    # Export

    @property
    def signature(self) -> Signature:
        """The inputs and outputs of the exported SavedModel of this model.

        The default is `description.signature`; a subclass overrides it if models of the task have
        further inputs or outputs.
        """
        return self.description.signature

    def serving_function(self, *args: Any, **options: Any) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from raw tensors to named tensors.

        Args:
            *args: Not used.
            **options: Options named in `description.export_options`.

        Returns:
            A function with the arguments and outputs of `signature`.
        """
        raise NotImplementedError

    def further_serving_functions(
        self, *args: Any, **options: Any
    ) -> Mapping[str, Callable[..., Any]]:
        """Return the functions of further signatures of the SavedModel, by name.

        Args:
            *args: Not used.
            **options: As for `serving_function`.

        Returns:
            For each name in `description.further_signatures` a function with the arguments and
            outputs of that signature, such as one that takes encoded files.
        """
        return {}

    def set_published(self, entry: str, card: str) -> None:
        """Note that the model has the weights of an entry of the zoo, see `published`."""
        self._published = Published(entry, card, fingerprint(self))

    @property
    def published(self) -> Published | None:
        """The entry of the zoo whose weights the model has; None also after any change of them."""
        known = self._published
        return known if known is not None and known.fingerprint == fingerprint(self) else None

    def export_info(self) -> dict[str, Any]:
        """Return metadata of an exported model: the library, the task and the entry.

        A subclass adds what its clients need, such as label names. All values can be written as
        JSON.
        """
        published = self.published
        return {
            "library": f"keras_attn {__version__}",
            "task": self.description.name,
            "entry": None if published is None else published.entry,
        }

    def export_files(self) -> dict[str, str | bytes]:
        """Return the files that a SavedModel holds besides its graph, by their path in it.

        They are `assets/model.json` with `export_info`; for the weights of an entry its card,
        `assets/README.md`; and `warmup_requests`.
        """
        info = json.dumps(self.export_info(), indent=2, ensure_ascii=False)
        files: dict[str, str | bytes] = {"assets/model.json": f"{info}\n"}
        if (published := self.published) is not None and published.card:
            files["assets/README.md"] = published.card
        if requests := self.warmup_requests():
            files[WARMUP_FILE] = warmup_records(requests)
        return files

    def warmup_requests(self) -> Mapping[str, Mapping[str, Any]]:
        """Return an example request for signatures of the SavedModel: its inputs by name.

        TensorFlow Serving runs them when it loads the model, and does not load a model that
        refuses one. The default is none.
        """
        return {}

    def export_writers(self) -> dict[str, Callable[..., pathlib.Path]]:
        """Return the functions that write each format of `description.export_formats`, by name.

        Each takes a path and the options of its format, and returns the path. A subclass with
        `description.further_formats` extends the dictionary.
        """
        return {"saved_model": self._write_saved_model}

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "saved_model",  # noqa: A002  # as Keras names it
        **options: Any,
    ) -> pathlib.Path:
        """Write a model for another runtime.

        The default is a SavedModel of plain TensorFlow ops. Its signatures `serving_default` and
        `serve` are both `signature`; a task may have others, see
        `description.further_signatures`. It holds the files that `export_files` names.

        Args:
            filepath: Folder to write, such as `"serving/1"`, which may exist if it is empty; or,
                for formats that are one file, its name, such as `"model.tflite"`.
            format: One of `description.export_formats`, such as `"saved_model"` or `"onnx"`.
            **options: Options of the format, such as `views` for a SavedModel of images.

        Returns:
            The path.

        Raises:
            TypeError: An option is not one of the format.
            ValueError: The task has no such format, the value of an option is out of range, the
                name of a file has another ending, or the model is quantized and the format is not
                `"saved_model"`.
            ImportError: The converter is not installed; the message names the extra.
            RuntimeError: The Keras backend is not TensorFlow.
            FileExistsError: The folder exists and is not empty.
        """
        chosen = self.description.export_format(format)
        if unknown := [name for name in options if name not in chosen.options]:
            raise TypeError(
                f"{type(self).__name__}.export with format={format!r} takes a path"
                f"{''.join(f', {name}' for name in chosen.options)}. Received: "
                f"{', '.join(unknown)}."
            )
        import_tensorflow()
        if format != "saved_model":
            _adaptation.check_can_convert(self, format)
        path = pathlib.Path(filepath)
        chosen.check_path(path)
        return self.export_writers()[format](path, **options)

    def onnx_function(self) -> tuple[Callable[..., dict[str, Any]], Signature]:
        """Return the function of ONNX models, and its signature.

        It is defined for tasks whose `description.further_formats` has `"onnx"`.
        """
        raise NotImplementedError

    def onnx_info(self) -> dict[str, Any]:
        """Return `export_info`, and what encoding inputs of the ONNX model needs."""
        return self.export_info()

    def _write_onnx(self, path: pathlib.Path) -> pathlib.Path:
        function, signature = self.onnx_function()
        metadata = self.export_info()
        write_onnx(path, function, self, metadata=metadata, **_specs(signature))
        write_info(path, self.onnx_info())
        return path

    def _write_saved_model(self, path: pathlib.Path, **options: Any) -> pathlib.Path:
        further = {
            name: (function, _specs(self.description.further_signatures[name]))
            for name, function in self.further_serving_functions(**options).items()
        }
        function, specs = self.serving_function(**options), _specs(self.signature)
        files = self.export_files()
        return write_saved_model(path, function, self, further=further, files=files, **specs)


def write_info(path: pathlib.Path, info: Mapping[str, Any]) -> None:
    """Write the metadata of an exported model as JSON next to it, such as `model.onnx.json`."""
    text = json.dumps(info, indent=2, ensure_ascii=False)
    write_text(path.with_name(f"{path.name}.json"), text)


def _specs(signature: Signature) -> dict[str, Any]:
    """Return the `tf.TensorSpec` of each input of a signature, by name."""
    import tensorflow as tf

    return {info.name: tf.TensorSpec(info.shape, info.dtype) for info in signature.inputs}
