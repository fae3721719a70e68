"""Translation of texts by an exported CTranslate2 model, without TensorFlow and Keras."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, overload

from keras_attn._files import read_json_object
from keras_attn._token_ids import END_ID, START_ID
from keras_attn._validation import check_positive_integer
from keras_attn._warnings import warn_user
from keras_attn.tasks.coverage import coverage_warnings
from keras_attn.tasks.translation._limits import EXTRA_TOKENS, too_long
from keras_attn.text.normalization import Normalizer
from keras_attn.text.plain import PlainTokenizer

INFO_FILE = "model.json"  # beside the files of CTranslate2


class CTranslate2Translator:
    """Translate texts by a folder that `Translator.export(path, format="ctranslate2")` wrote.

    It needs ctranslate2, and neither TensorFlow nor Keras. Greedy translations are those of the
    `Translator`. Beams are ranked by log-probability over the length to the power of the penalty,
    and not over `((5 + length) / 6)`, so that a few translations differ.

    Args:
        path: The folder.
        device: `"cpu"` or `"cuda"`.
        **options: Options of `ctranslate2.Translator`, such as `intra_threads`.

    Raises:
        ImportError: ctranslate2 is not installed.
        FileNotFoundError: `path` is not a folder that `export` wrote.
        ValueError: Its metadata are those of another format.

    Example: see the page on deployment.
    """

    def __init__(self, path: str | os.PathLike[str], device: str = "cpu", **options: Any) -> None:
        try:
            import ctranslate2
        except ImportError as error:
            raise ImportError(
                "CTranslate2 models need ctranslate2: pip install 'keras-attn[ctranslate2]'."
            ) from error
        file = pathlib.Path(path, INFO_FILE)
        if not file.is_file():
            raise FileNotFoundError(
                f"{os.fspath(path)!r} is no folder that export(path, format='ctranslate2') wrote: "
                f"it has no {INFO_FILE}."
            )
        self.info = read_json_object(file)
        if missing := {"normalizer", "pieces", "max_length"} - set(self.info):
            raise ValueError(
                f"{os.fspath(file)!r} is of another format: it lacks {', '.join(sorted(missing))}. "
                "Pass a folder that export(path, format='ctranslate2') wrote."
            )
        normalizer = Normalizer.from_config(self.info["normalizer"])
        self.tokenizer = PlainTokenizer(self.info["pieces"], normalizer)
        self.max_length = int(self.info["max_length"])
        self.model = ctranslate2.Translator(str(path), device=device, **options)

    @overload
    def translate(  # type: ignore[overload-overlap]  # a str is a sequence of them
        self, texts: str, beam_size: int = 4, *, batch_size: int = 64
    ) -> str: ...

    @overload
    def translate(
        self, texts: Sequence[str], beam_size: int = 4, *, batch_size: int = 64
    ) -> list[str]: ...

    def translate(self, texts: Any, beam_size: int = 4, *, batch_size: int = 64) -> Any:
        """Translate a text, or several.

        Args:
            texts: A string, or a list of strings. Of longer ones the first `max_length` subwords
                are read.
            beam_size: Number of beams. 1 is greedy search.
            batch_size: Number of texts in a batch.

        Returns:
            The translation, or a list of them; of a text without words the empty string.

        Warns:
            UserWarning: A text has more than `max_length` subwords, or the model knows few of its
                characters.
        """
        check_positive_integer("beam_size", beam_size)
        check_positive_integer("batch_size", batch_size)
        if isinstance(texts, str):
            return self.translate([texts], beam_size, batch_size=batch_size)[0]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(
                f"`texts` must be a string or a list of strings. Received: {texts!r:.80}."
            )
        sources = [self.tokenizer.encode(text) for text in texts]
        self._warn(sources)
        sources = [ids[: self.max_length] for ids in sources]
        results = [""] * len(sources)
        order = sorted(
            (row for row, ids in enumerate(sources) if ids), key=lambda r: len(sources[r])
        )
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            tokens = [[*map(str, sources[row]), str(END_ID)] for row in rows]
            limits = [min(2 * len(row) + EXTRA_TOKENS, self.max_length) for row in tokens]
            answers = self.model.translate_batch(
                tokens,
                beam_size=beam_size,
                min_decoding_length=0,
                max_decoding_length=max(limits),
                disable_unk=True,  # the token of padding, which is never written
                suppress_sequences=[[str(START_ID)]],
            )
            for row, limit, answer in zip(rows, limits, answers, strict=True):
                # The limit of CTranslate2 is one for all rows.
                results[row] = self.tokenizer.decode(map(int, answer.hypotheses[0][:limit]))
        return results

    def _warn(self, sources: Sequence[Sequence[int]]) -> None:
        """Warn of sources that are not read whole, or of which the model knows little."""
        if message := too_long(list(map(len, sources)), self.max_length, "not read"):
            warn_user(message)
        counts = [self.tokenizer.count_characters(ids) for ids in sources]
        for message in coverage_warnings([_Coverage(*count) for count in counts if count[0]]):
            warn_user(message)


class _Coverage(NamedTuple):
    """The characters of a source, and those that the model knows."""

    characters: int
    known_characters: int

    @property
    def coverage(self) -> tuple[int, int, str]:
        return self.known_characters, self.characters, "characters"
