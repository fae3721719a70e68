"""What a run of translation takes of its data, and BLEU and chrF, by packages kept for them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_attn import batching, datasets
from keras_attn.profiling import Cost
from keras_attn.recipes.recipe import Recipe
from keras_attn.tasks import SequenceCrossentropy, TokenAccuracy, Translator
from keras_attn.tasks.translation.sequence_loss import token_losses
from keras_attn.text import SubwordDropout

BEAM_SIZE = 5  # of reported figures, as in the papers that Multi30k is compared with
HELD_OUT_BATCH = 128  # pairs
BOOTSTRAP = 1_000  # samples of an interval


class TranslateHeldOut(keras.callbacks.Callback):
    """Tells `val_bleu` after each epoch: of greedy translations, cased, by sacreBLEU.

    Args:
        translator: the model that translates.
        split: what it translates.
    """

    def __init__(self, translator: Translator, split: datasets.PairSplit) -> None:
        super().__init__()
        _sacrebleu()  # says now, and not after an epoch, that it is missing
        self.translator, self.split = translator, split

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Translate, and write the figure into the epoch's logs."""
        found = self.translator.translate(list(self.split.sources), beam_size=1)
        bleu = corpus_bleu([translation.text for translation in found], self.split)
        if logs is not None:
            logs["val_bleu"] = bleu["bleu"]


class PairExamples:
    """Pairs of sentences as ids; the model learns its subwords of them.

    Args:
        translator: the new model.
        dataset: the data set.
        recipe: which says how words are cut in training, and how often a pair is read.
    """

    one_hot = False

    def __init__(
        self, translator: Translator, dataset: datasets.Dataset[datasets.PairSplit], recipe: Recipe
    ) -> None:
        training, self.held_out = dataset["train"], dataset["validation"]
        translator.adapt(training.sources, training.targets)
        self.translator, self.copies = translator, 2 if recipe.training.r_drop else 1
        self.training = translator.encode(training.sources, training.targets)
        self.pairs = translator.encode(self.held_out.sources, self.held_out.targets)
        self.dropout = [
            SubwordDropout(translator.tokenizer, texts, recipe.subwords.dropout)
            for texts in (training.sources, training.targets)
            if recipe.subwords.dropout
        ]

    def seen(self, batch_size: int) -> int:
        return len(self.training) * self.copies

    def loss(self, label_smoothing: float) -> keras.losses.Loss:
        return SequenceCrossentropy(label_smoothing)

    def accuracy(self) -> keras.metrics.Metric:
        return TokenAccuracy()

    def callbacks(self, classifier: Translator) -> list[keras.callbacks.Callback]:
        return [TranslateHeldOut(classifier, self.held_out)]

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        def epoch_of(epoch: int) -> batching.EncodedPairs:
            seeds = np.random.SeedSequence([seed, epoch, 2]).generate_state(2).tolist()
            sides = [side(number) for side, number in zip(self.dropout, seeds, strict=True)]
            return self.translator.paired(*sides)

        return batching.PairBatches(
            epoch_of if self.dropout else self.training,
            batch_size,
            seed=seed,
            epochs=epochs,
            copies=self.copies,
        )

    def held_out_batches(self, replicas: int) -> keras.utils.PyDataset:
        size = batching.shareable_size(len(self.pairs), HELD_OUT_BATCH, replicas)
        return batching.EvaluationBatches(self.pairs, size)

    def finish(self, classifier: Any) -> dict[str, Any]:
        return {}

    def cost(self, network: Any) -> Cost:
        """The cost of a pair of the mean lengths."""
        lengths = self.training.lengths.mean(), self.training.target_lengths.mean()
        return Cost(parameters=network.count_params(), flops=network.flops(*lengths))


def evaluate_translations(translator: Translator, split: datasets.PairSplit) -> dict[str, Any]:
    """What the translations of a split are worth, by beam search with `BEAM_SIZE` beams.

    Returns:
        `loss` in nats a token, without label smoothing, and `accuracy` in [0, 1], of the next
        token where the ones before are right; `bleu` and `chrf` in percent as sacreBLEU counts
        them, cased, with `bleu_signature`, `chrf_signature` and `bleu_interval`, 95 % by
        bootstrap; `bleu_lowercased_tokens`, see `lowercased_token_bleu`, and the
        `token_language` of its rules; `beam_size`; and the number of `examples`.
    """
    _sacrebleu(), _sacremoses()
    loss, accuracy = _next_tokens(translator, split)
    found = translator.translate(list(split.sources), beam_size=BEAM_SIZE)
    texts = [translation.text for translation in found]
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


def _next_tokens(translator: Translator, split: datasets.PairSplit) -> tuple[float, float]:
    """Loss and accuracy of next tokens, however the translator is compiled."""
    pairs = translator.encode(list(split.sources), list(split.targets))
    batches = batching.EvaluationBatches(pairs, HELD_OUT_BATCH)
    tokens, loss, right = 0.0, 0.0, 0.0
    for index in range(len(batches)):
        inputs, targets = batches[index]
        logits = translator.predict_on_batch(inputs)
        real, losses = map(keras.ops.convert_to_numpy, token_losses(targets, logits))
        tokens += real.sum(dtype="float64")
        loss += losses.sum(dtype="float64")
        right += (real * (logits.argmax(axis=-1) == targets)).sum(dtype="float64")
    return float(loss / tokens), float(right / tokens)


def corpus_bleu(
    translations: Sequence[str], split: datasets.PairSplit, bootstrap: int = 0
) -> dict[str, Any]:
    """`bleu` with its signature, and its interval if it is asked for (Post, W18-6319)."""
    metric = _sacrebleu().BLEU()
    arguments = {"n_bootstrap": bootstrap} if bootstrap else {}
    score = metric.corpus_score(translations, references(split), **arguments)
    told = {"bleu": score.score, "bleu_signature": str(metric.get_signature())}
    if bootstrap:
        told["bleu_interval"] = [score._mean - score._ci, score._mean + score._ci]
    return told


def corpus_chrf(translations: Sequence[str], split: datasets.PairSplit) -> dict[str, Any]:
    """`chrf` with its signature (Popovic, W15-3049)."""
    metric = _sacrebleu().CHRF()
    score = metric.corpus_score(translations, references(split))
    return {"chrf": score.score, "chrf_signature": str(metric.get_signature())}


def lowercased_token_bleu(translations: Sequence[str], split: datasets.PairSplit) -> float:
    """BLEU of lower-cased Moses tokens, which papers on Multi30k report; not sacreBLEU's.

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


def token_language(split: datasets.PairSplit) -> str:
    """The language whose rules cut the targets into tokens: English where theirs is unknown."""
    return split.target_language or "en"


def references(split: datasets.PairSplit) -> list[list[str | None]]:
    """Columns of references, as sacreBLEU takes them; None where a row has no more."""
    rows = split.references or [(target,) for target in split.targets]
    most = max(map(len, rows))
    padded = np.full((len(rows), most), None, dtype=object)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return padded.T.tolist()


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
