"""Metrics of translation: BLEU and chrF by sacreBLEU, loss and accuracy of next tokens."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn._wording import counted
from keras_attn.batching import EvaluationBatches
from keras_attn.datasets import PairSplit
from keras_attn.datasets.languages import base_language, guess_language
from keras_attn.tasks.sequence_loss import token_losses

if TYPE_CHECKING:
    from keras_attn.tasks.translation.translator import Translator

BEAM_SIZE = 5  # for reported metrics, as in papers on Multi30k
EVALUATION_BATCH = 128  # pairs
BOOTSTRAP = 1_000  # samples for a confidence interval


# Languages whose words sacreBLEU's 13a rules do not find, and its tokenizer for them. Those of
# Japanese and Korean need packages of their own.
TOKENIZERS = {
    "zh": "zh",
    "ja": "ja-mecab",
    "ko": "ko-mecab",
    **dict.fromkeys(("th", "lo", "km", "my"), "char"),
}


def evaluate_translations(translator: "Translator", split: PairSplit) -> dict[str, Any]:
    """Return the metrics of a split, with beam search of `BEAM_SIZE` beams.

    The target language is that of the split, else that of the translator, else the one that the
    script of the references shows.

    Returns:
        `loss` in nats per token, without label smoothing, and `accuracy` in [0, 1] of next tokens
        given the reference tokens before them; `bleu` and `chrf`, cased, from 0 to 100, by
        sacreBLEU, with `bleu_signature`, `chrf_signature` and `bleu_interval`, the 95 % confidence
        interval by bootstrap; `target_language`, which selects the tokenizer of BLEU, None if it
        is not known; `beam_size`; and the number of `examples`. If the target language is known,
        and has rules of Moses, also `bleu_lowercased_tokens`, see `lowercased_token_bleu`, and
        the `token_language` of these rules.

    Raises:
        ValueError: The split has no pairs, or an empty reference.
    """
    check_packages()
    check_references(split)
    language = target_language(split, translator.target_language)
    split = dataclasses.replace(split, target_language=language)
    loss, accuracy = _next_tokens(translator, split)
    translations = translator.translate(list(split.sources), beam_size=BEAM_SIZE)
    texts = [translation.text for translation in translations]
    return {
        "accuracy": accuracy,
        "loss": loss,
        "examples": len(split),
        "beam_size": BEAM_SIZE,
        "target_language": language,
        **corpus_bleu(texts, split, bootstrap=BOOTSTRAP),
        **corpus_chrf(texts, split),
        **lowercased_token_bleu(texts, split),
    }


def _next_tokens(translator: "Translator", split: PairSplit) -> tuple[float, float]:
    """Return loss and accuracy of next tokens, independently of `translator.compile`."""
    pairs = translator.encode(list(split.sources), list(split.targets))
    batches = EvaluationBatches(pairs, EVALUATION_BATCH)
    tokens, loss, correct = 0.0, 0.0, 0.0
    for index in range(len(batches)):
        inputs, targets = batches[index]
        logits = translator.predict_on_batch(inputs)
        mask, losses = map(keras.ops.convert_to_numpy, token_losses(targets, logits))
        tokens += mask.sum(dtype="float64")
        loss += losses.sum(dtype="float64")
        correct += (mask * (logits.argmax(axis=-1) == targets)).sum(dtype="float64")
    return float(loss / tokens), float(correct / tokens)


def target_language(split: PairSplit, default: str | None = None) -> str | None:
    """Return the language of a split's references, as a two-letter code where there is one.

    Args:
        split: The pairs.
        default: The language if the split does not name it, such as that of a translator.

    Returns:
        The language of the split; or `default`; or the language that the script of the references
        shows, see `keras_attn.datasets.languages.guess_language`; or None.
    """
    known = split.target_language or default
    return base_language(known) if known else guess_language(split.targets)


def corpus_bleu(
    translations: Sequence[str], split: PairSplit, bootstrap: int = 0
) -> dict[str, Any]:
    """Return `bleu`, its signature and, with `bootstrap`, its interval (Post, W18-6319).

    Texts are tokenized by sacreBLEU's rules for the target language, see `TOKENIZERS`; without a
    package that they need by characters, which the signature notes.
    """
    check_references(split)
    metric, note = _bleu(target_language(split))
    arguments = {"n_bootstrap": bootstrap} if bootstrap else {}
    score = metric.corpus_score(translations, references(split), **arguments)
    signature = f"{metric.get_signature()}{note}"
    result: dict[str, Any] = {"bleu": score.score, "bleu_signature": signature}
    if bootstrap:
        result["bleu_interval"] = [score._mean - score._ci, score._mean + score._ci]
    return result


def _bleu(language: str | None) -> tuple[Any, str]:
    """Return the metric for a language, and a note to append to its signature."""
    sacrebleu = _sacrebleu()
    if language not in TOKENIZERS:
        return sacrebleu.BLEU(), ""
    tokenizer = TOKENIZERS[language]
    try:
        return sacrebleu.BLEU(tokenize=tokenizer), ""
    except (RuntimeError, ImportError):  # of MeCab, which is not installed or has no dictionary
        note = f"|note:{tokenizer}-is-not-installed"
        return sacrebleu.BLEU(tokenize="char"), note


def corpus_chrf(translations: Sequence[str], split: PairSplit) -> dict[str, Any]:
    """Return `chrf` and its signature (Popovic, W15-3049). It has the same rules everywhere."""
    metric = _sacrebleu().CHRF()
    score = metric.corpus_score(translations, references(split))
    return {"chrf": score.score, "chrf_signature": str(metric.get_signature())}


def lowercased_token_bleu(translations: Sequence[str], split: PairSplit) -> dict[str, Any]:
    """Return BLEU on lower-cased Moses tokens, which papers on Multi30k report.

    Texts are lower-cased, punctuation is normalized, and tokens are split by the rules of the
    target language: an apostrophe ends a token in French, and begins one in English.

    Returns:
        `bleu_lowercased_tokens` and `token_language`; nothing if the target language is not known
        or Moses has no rules for it.
    """
    sacremoses, language = _sacremoses(), target_language(split)
    if language in TOKENIZERS or not _has_moses_rules(sacremoses, language):
        return {}
    moses = sacremoses.MosesTokenizer(language)
    normalizer = sacremoses.MosesPunctNormalizer(language)

    def tokens(text: str) -> str:
        return moses.tokenize(normalizer.normalize(text.lower()), return_str=True, escape=False)

    metric = _sacrebleu().BLEU(tokenize="none", force=True)
    columns = [
        [None if text is None else tokens(text) for text in column] for column in references(split)
    ]
    score = metric.corpus_score([tokens(text) for text in translations], columns).score
    return {"bleu_lowercased_tokens": score, "token_language": language}


def _has_moses_rules(sacremoses: Any, language: str | None) -> bool:
    known = sacremoses.corpus.NonbreakingPrefixes().available_langs.values()
    return language is not None and language in known


def check_references(split: PairSplit) -> None:
    """Raise ValueError if a split has no pairs, or a pair without a reference."""
    if not len(split):
        raise ValueError("BLEU needs pairs of sentences. Received: a split without any.")
    rows = split.references or [(target,) for target in split.targets]
    empty = [row for row, known in enumerate(rows) if not any(map(str.strip, known))]
    if empty:
        raise ValueError(
            f"BLEU needs a reference for each source. Received: empty ones for {len(empty)} of "
            f"{counted(len(rows), 'source')}, the first in row {empty[0]}, of the source "
            f"{split.sources[empty[0]]!r}. Leave these pairs out."
        )


def references(split: PairSplit) -> list[list[str | None]]:
    """Return references in columns, as sacreBLEU takes them, padded with None."""
    rows = split.references or [(target,) for target in split.targets]
    columns = max(map(len, rows))
    padded = np.full((len(rows), columns), None, dtype=object)
    for target, row in zip(padded, rows, strict=True):
        written = [text for text in row if text.strip()]
        target[: len(written)] = written
    return padded.T.tolist()


def check_packages() -> None:
    """Import the packages that compute BLEU, to report a missing one before training.

    Raises:
        ImportError: A package is missing; the message says how to install it.
    """
    _sacrebleu()
    _sacremoses()


def _sacremoses() -> Any:
    try:
        import sacremoses
    except ImportError as error:
        raise ImportError(
            "BLEU on Moses tokens needs sacremoses: pip install 'keras-attn[train]'."
        ) from error
    return sacremoses


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError as error:
        raise ImportError(
            "BLEU needs sacrebleu: pip install 'keras-attn[train]'. (Translation works without it.)"
        ) from error
    return sacrebleu
