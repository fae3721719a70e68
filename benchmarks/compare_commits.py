"""Times of two commits in turns, to find what has become slower.

    python benchmarks/compare_commits.py main~1 main [--cases 'training/*'] [--rounds 15]

Each commit is checked out into a temporary folder. A case runs in one process for each commit,
which are stopped between their turns. A case is slower if the median of the rounds' ratios is
above `--threshold` and three quarters of the rounds were slower, twice: what seems slower is
measured again. The exit status is 1 if a case is. Nothing is written. Run nothing beside it.
"""

import contextlib
import dataclasses
import fnmatch
import functools
import pathlib
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Annotated

import typer
from _commit_cases import CASES, CommitCase
from _measure import Served

ROOT = pathlib.Path(__file__).parent.parent
WARM_UP = 3  # calls


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Seconds of a case in each round, before and after."""

    case: str
    before: list[float]
    after: list[float]

    @property
    def ratios(self) -> list[float]:
        """The time after over the time before, by round."""
        return [b / a for a, b in zip(self.before, self.after, strict=True)]

    def is_slower(self, threshold: float) -> bool:
        """Return whether the case has become slower by more than noise."""
        lower_quartile, median, _ = statistics.quantiles(self.ratios, n=4)
        return median > threshold and lower_quartile > 1.0

    def __str__(self) -> str:
        lower_quartile, median, upper_quartile = statistics.quantiles(self.ratios, n=4)
        before, after = (f"{1000 * statistics.median(x):.4g} ms" for x in (self.before, self.after))
        return (
            f"{self.case} | {before} | {after} | {median:.3f}, {lower_quartile:.3f} to "
            f"{upper_quartile:.3f}"
        )


def main(
    before: Annotated[str, typer.Argument(help="A commit, branch or tag.")],
    after: Annotated[str, typer.Argument(help="The commit to compare with it.")],
    cases: Annotated[str, typer.Option(help="Pattern of the names of cases.")] = "*",
    rounds: Annotated[int, typer.Option(min=4)] = 15,
    threshold: Annotated[float, typer.Option(min=1.0, help="Ratio that counts as slower.")] = 1.05,
) -> None:
    """Compare two commits, and exit with 1 if a case has become slower."""
    names = fnmatch.filter(CASES, cases)
    if not names:
        raise typer.BadParameter(
            f"no case matches {cases!r}. The cases are {', '.join(CASES)}.", param_hint="--cases"
        )
    slower = []
    typer.echo("case | before | after | after / before, median and quartiles")
    with checkout(before) as old, checkout(after) as new:
        for name in names:
            comparison = compare(name, old, new, rounds)
            typer.echo(comparison)
            if comparison.is_slower(threshold):
                comparison = compare(name, old, new, rounds)
                is_slower = comparison.is_slower(threshold)
                typer.echo(f"{comparison} | {'slower again' if is_slower else 'not slower'}")
                slower += [name] if is_slower else []
    if slower:
        typer.echo(f"Slower than {before} by more than {threshold - 1:.0%}: {', '.join(slower)}.")
        raise typer.Exit(1)


def compare(case: str, before: pathlib.Path, after: pathlib.Path, rounds: int) -> Comparison:
    """Return the seconds of a case by the packages of two checkouts."""
    with contextlib.ExitStack() as stack:
        contenders = [
            stack.enter_context(Served(functools.partial(CommitCase, str(folder), case)))
            for folder in (before, after)
        ]
        for contender in contenders:
            for _ in range(WARM_UP):
                contender.call("step")
        seconds: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds):
            for index in (0, 1) if number % 2 else (1, 0):
                seconds[index].append(contenders[index].call("step"))
    return Comparison(case, *seconds)


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[pathlib.Path]:
    """Check out a commit into a temporary folder."""
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent) / "checkout"
        command = ["git", "-C", str(ROOT), "worktree"]
        done = subprocess.run(
            [*command, "add", "--detach", str(folder), commit],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise typer.BadParameter(f"{commit!r} cannot be checked out: {done.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run([*command, "remove", "--force", str(folder)], check=True)


if __name__ == "__main__":
    typer.run(main)
