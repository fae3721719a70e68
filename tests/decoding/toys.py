"""Step models that NumPy can recompute, and searches by brute force."""

import itertools

import numpy as np
from keras import ops

from keras_attn.ops import gather_beams

PAD, END, START = 0, 1, 0
IDS = {"start_id": START, "end_id": END, "padding_id": PAD}
SIZE = 997


def random_table(vocabulary=4, seed=0, scale=2.0):
    """Logits `(SIZE, V)`, one row for every history."""
    return (
        np.random.default_rng(seed).normal(size=(SIZE, vocabulary), scale=scale).astype("float32")
    )


class Histories:
    """Logits that depend on the row and on every token so far, in order.

    The state is a hash of these tokens, so that mixing up beams changes all later logits.
    """

    def __init__(self, table, dtype="float32"):
        self.table = np.asarray(table, "float32")
        self.dtype = dtype

    def start(self, source, num_beams, length):
        rows = ops.cast(source, "int32")[:, None]
        beams = ops.broadcast_to(rows, (ops.shape(rows)[0], num_beams))
        return {"history": [beams], "length": ops.full_like(rows, length)}

    def step(self, ids, state, index):
        history = (state["history"][0] * 31 + ids * 7 + index + 1) % SIZE
        logits = ops.cast(ops.take(ops.convert_to_tensor(self.table), history, axis=0), self.dtype)
        return logits, {"history": [history], "length": state["length"]}

    def reorder(self, state, parents):
        return {**state, "history": gather_beams(state["history"], parents)}

    def log_probabilities(self, row, tokens):
        """Return the log-probabilities of the token after these, in float64."""
        history = row
        for index, token in enumerate((START, *tokens)):
            history = (history * 31 + token * 7 + index + 1) % SIZE
        logits = self.table[history].astype("float64")
        return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()

    def log_probability(self, row, tokens):
        """Return the log-probability of a complete sequence, with its end token."""
        pairs = ((self.log_probabilities(row, tokens[:i]), t) for i, t in enumerate(tokens))
        return sum(logits[token] for logits, token in pairs)


def score(log_probability, tokens, length_penalty=1.0):
    return log_probability / ((5 + tokens) / 6) ** length_penalty


def all_hypotheses(model, row, max_length, length_penalty=1.0, prefix=()):
    """Return every complete sequence, (score, log-probability, tokens), best first."""
    vocabulary = model.table.shape[1]
    words = [token for token in range(vocabulary) if token not in (PAD, START, END)]
    result = []
    for length in range(len(prefix), max_length + 1):
        for words_after in itertools.product(words, repeat=length - len(prefix)):
            tokens = (*prefix, *words_after, END)
            log_probability = model.log_probability(row, tokens)
            value = score(log_probability, len(tokens), length_penalty)
            result.append((value, log_probability, tokens))
    return sorted(result, key=lambda hypothesis: -hypothesis[0])


def greedy_tokens(model, row, max_length):
    tokens = ()
    while len(tokens) < max_length:
        logits = model.log_probabilities(row, tokens).copy()
        logits[[PAD, START]] = -np.inf
        tokens = (*tokens, int(np.argmax(logits)))
        if tokens[-1] == END:
            return tokens
    return (*tokens, END)


def beam_hypotheses(
    model, row, num_beams, max_length, length_penalty=1.0, is_allowed=lambda tokens, token: True
):
    """Beam search in plain Python: the complete hypotheses of one row, best first.

    `is_allowed` is asked of each token after the tokens before it.
    """
    live, complete = [(0.0, ())], []
    for length in range(max_length + 1):
        continuations = []
        for log_probability, tokens in live:
            logits = model.log_probabilities(row, tokens)
            for token in range(len(logits)):
                within = length < max_length or token == END
                if token not in (PAD, START) and within and is_allowed(tokens, token):
                    total = log_probability + logits[token]
                    continuations.append((total, (*tokens, token)))
        continuations.sort(key=lambda pair: -pair[0])
        best = continuations[: 2 * num_beams]
        complete += [
            (score(total, len(tokens), length_penalty), total, tokens)
            for total, tokens in best
            if tokens[-1] == END
        ]
        live = [pair for pair in best if pair[1][-1] != END][:num_beams]
    return sorted(complete, key=lambda hypothesis: -hypothesis[0])


def lists(hypotheses):
    """Return the sequences of each row without padding, which must be at the end."""
    rows = []
    for row in ops.convert_to_numpy(hypotheses.ids):
        result = []
        for ids in row.tolist():
            tokens = tuple(token for token in ids if token != PAD)
            assert ids == [*tokens, *[PAD] * (len(ids) - len(tokens))]
            assert tokens.count(END) == (tokens[-1:] == (END,))
            result.append(tokens)
        rows.append(result)
    return rows


def flat(hypotheses):
    return list(itertools.chain.from_iterable(lists(hypotheses)))


def poisoned(model):
    """The model, with logits that are no distribution at the start of rows 3, 50 and 121."""
    table = model.table.copy()
    for row, poison in ((3, np.nan), (50, np.inf), (121, -np.inf)):
        table[(row * 31 + 1) % SIZE, :: 1 if poison < 0 else 3] = poison
    return Histories(table)


def arrays(hypotheses):
    return [ops.convert_to_numpy(x) for x in hypotheses]
