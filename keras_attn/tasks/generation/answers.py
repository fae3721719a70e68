"""The answers of a text generator."""

from typing import Any, NamedTuple


class Generation(NamedTuple):
    """A prompt with its completion.

    Attributes:
        prompt: The prompt.
        completion: The text that the model wrote.
        score: Log-probability of the completion in nats, as the model gives it at temperature 1.
        finished: Whether the completion ended by itself, by the end of the document or a stop
            string, rather than by its largest length.
        characters: Number of characters of the prompt.
        known_characters: Number of those that are in the vocabulary.
    """

    prompt: str
    completion: str
    score: float
    finished: bool
    characters: int = 0
    known_characters: int = 0

    @property
    def text(self) -> str:
        """The prompt with its completion."""
        return self.prompt + self.completion

    @property
    def coverage(self) -> tuple[int, int, str] | None:
        """The number of known characters, of all, and what they are called; None without any."""
        return (self.known_characters, self.characters, "characters") if self.characters else None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a dictionary that can be written as JSON."""
        return {**self._asdict(), "text": self.text}

    def to_columns(self, top: int = 1) -> dict[str, str]:
        """Return completion, score and whether it is finished as cells of a table row."""
        finished = "yes" if self.finished else "no"
        return {
            "completion": self.completion,
            "score": f"{self.score:.3f}",
            "finished": finished,
        }
