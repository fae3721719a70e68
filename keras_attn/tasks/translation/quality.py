"""Metrics of translation: BLEU and chrF by sacreBLEU, loss and accuracy of next tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn.batching import EvaluationBatches
from keras_attn.datasets import PairSplit
from keras_attn.tasks.translation.sequence_loss import token_losses

if TYPE_CHECKING:
    from keras_attn.tasks.translation.translator import Translator

BEAM_SIZE = 5  # for reported metrics, as in papers on Multi30k
EVALUATION_BATCH = 128  # pairs
BOOTSTRAP = 1_000  # samples for a confidence interval


def evaluate_translations(translator: "Translator", split: PairSplit) -> dict[str, Any]:
    """Return the metrics of a split, with beam search of `BEAM_SIZE` beams.

    Returns:
        `loss` in nats per token, without label smoothing, and `accuracy` in [0, 1] of next tokens
        given the reference tokens before them; `bleu` and `chrf`, cased, from 0 to 100, by
        sacreBLEU, with `bleu_signature`, `chrf_signature` and `bleu_interval`, the 95 % confidence
        interval by bootstrap; `bleu_lowercased_tokens`, see `lowercased_token_bleu`, and the
        `token_language` of its tokenization rules; `beam_size`; and the number of `examples`.
    """
    check_packages()
    loss, accuracy = _next_tokens(translator, split)
    translations = translator.translate(list(split.sources), beam_size=BEAM_SIZE)
    texts = [translation.text for translation in translations]
    return {
        "accuracy": accuracy,
        "loss": loss,
        "examples": len(split),
        "beam_size": BEAM_SIZE,
        **corpus_bleu(texts, split, bootstrap=BOOTSTRAP),
        **corpus_chrf(texts, split),
        "bleu_lowercased_tokens": lowercased_token_bleu(texts, split),
        "token_language": token_language(split),
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


def corpus_bleu(
    translations: Sequence[str], split: PairSplit, bootstrap: int = 0
) -> dict[str, Any]:
    """Return `bleu`, its signature and, with `bootstrap`, its interval (Post, W18-6319).

    sacreBLEU tokenizes by the rules that it has for the target language of the split: characters
    for Chinese, which has no spaces between words, and `13a` for most others.
    """
    metric = _sacrebleu().BLEU(trg_lang=split.target_language or "")
    arguments = {"n_bootstrap": bootstrap} if bootstrap else {}
    score = metric.corpus_score(translations, references(split), **arguments)
    result: dict[str, Any] = {"bleu": score.score, "bleu_signature": str(metric.get_signature())}
    if bootstrap:
        result["bleu_interval"] = [score._mean - score._ci, score._mean + score._ci]
    return result


def corpus_chrf(translations: Sequence[str], split: PairSplit) -> dict[str, Any]:
    """Return `chrf` and its signature (Popovic, W15-3049)."""
    metric = _sacrebleu().CHRF()
    score = metric.corpus_score(translations, references(split))
    return {"chrf": score.score, "chrf_signature": str(metric.get_signature())}


def lowercased_token_bleu(translations: Sequence[str], split: PairSplit) -> float:
    """Return BLEU on lower-cased Moses tokens, which papers on Multi30k report.

    Texts are lower-cased, punctuation is normalized, and tokens are split by the rules of the
    target language: an apostrophe ends a token in French, and begins one in English.
    """
    sacremoses, language = _sacremoses(), token_language(split)
    moses = sacremoses.MosesTokenizer(language)
    normalizer = sacremoses.MosesPunctNormalizer(language)

    def tokens(text: str) -> str:
        return moses.tokenize(normalizer.normalize(text.lower()), return_str=True, escape=False)

    metric = _sacrebleu().BLEU(tokenize="none", force=True)
    columns = [
        [None if text is None else tokens(text) for text in column] for column in references(split)
    ]
    return metric.corpus_score([tokens(text) for text in translations], columns).score


def token_language(split: PairSplit) -> str:
    """Return the language for tokenization rules: the target language, or English if unknown."""
    return split.target_language or "en"


def references(split: PairSplit) -> list[list[str | None]]:
    """Return references in columns, as sacreBLEU takes them, padded with None."""
    rows = split.references or [(target,) for target in split.targets]
    columns = max(map(len, rows))
    padded = np.full((len(rows), columns), None, dtype=object)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
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
