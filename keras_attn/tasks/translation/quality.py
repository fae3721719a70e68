"""Measures of translation quality: BLEU and chrF by sacreBLEU, loss and accuracy of tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn.batching import EvaluationBatches
from keras_attn.datasets import PairSplit
from keras_attn.tasks.translation.sequence_loss import token_losses

if TYPE_CHECKING:
    from keras_attn.tasks.translation.translator import Translator

BEAM_SIZE = 5  # for reported figures, as in the papers that Multi30k is compared with
EVALUATION_BATCH = 128  # pairs
BOOTSTRAP = 1_000  # samples of an interval


def evaluate_translations(translator: "Translator", split: PairSplit) -> dict[str, Any]:
    """Return the metrics of a split, of beam search with `BEAM_SIZE` beams.

    Returns:
        `loss` in nats per token, without label smoothing, and `accuracy` in [0, 1], of the next
        token given the correct ones before it; `bleu` and `chrf` in percent as sacreBLEU counts
        them, cased, with `bleu_signature`, `chrf_signature` and `bleu_interval`, 95 % by
        bootstrap; `bleu_lowercased_tokens`, see `lowercased_token_bleu`, and the
        `token_language` of its rules; `beam_size`; and the number of `examples`.
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
    """Return loss and accuracy of next tokens, however the translator is compiled."""
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
    """Return `bleu`, its signature, and with `bootstrap` samples its interval (Post, W18-6319)."""
    metric = _sacrebleu().BLEU()
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
    """Return BLEU of lower-cased Moses tokens, which papers on Multi30k report.

    Text is lower-cased, its punctuation normalized, and cut by the rules of its language: in
    French an apostrophe ends a token, in English it begins one.
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
    """Return the language whose rules cut targets into tokens: English if theirs is unknown."""
    return split.target_language or "en"


def references(split: PairSplit) -> list[list[str | None]]:
    """Return columns of references, as sacreBLEU takes them; None where a row has no more."""
    rows = split.references or [(target,) for target in split.targets]
    most = max(map(len, rows))
    padded = np.full((len(rows), most), None, dtype=object)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return padded.T.tolist()


def check_packages() -> None:
    """Import what counts BLEU, so that a missing package is reported before training.

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
            "Counting Moses tokens needs sacremoses: pip install 'keras-attn[train]'."
        ) from error
    return sacremoses


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError as error:
        raise ImportError(
            "Counting BLEU needs sacrebleu: pip install 'keras-attn[train]'. (Translating does "
            "without.)"
        ) from error
    return sacrebleu
