"""Write messages of the package with the options of the running command.

Errors, warnings and accounts of the package name arguments of Python in backticks: `text_column`,
or `header=False` for one with a value. On the command line these are `--text-column` and
`--no-header`.
"""

import ast
import re
import shlex
from typing import Any

# Arguments, and keys of recipes, whose option has another name.
_ALIASES = {
    "banned_words": "banned_word",
    "folder": "out",
    "second": "data_target",
    "optimizer.learning_rate": "learning_rate",
    "training.batch_size": "batch_size",
    "training.class_weights": "class_weights",
    "training.epochs": "epochs",
}
_ARGUMENT = re.compile(r"`([a-z_][\w.]*)(?:=([^`]*))?`")

_options: dict[str, Any] = {}  # of the running command, by the name of the argument


def use_options_of(command: Any) -> None:
    """Name the options of a command in messages from now on.

    Args:
        command: A command of Typer.
    """
    _options.clear()
    for parameter in command.params:
        if parameter.opts[0].startswith("--"):
            _options[parameter.name] = parameter


def name_options(message: object) -> str:
    """Return a message with the options of the running command in place of arguments in backticks.

    Arguments that are no options of the command stay as they are.
    """
    return _ARGUMENT.sub(lambda match: _option(match) or match[0], str(message))


def _option(match: re.Match[str]) -> str | None:
    parameter = _options.get(_ALIASES.get(match[1], match[1]))
    if parameter is None:
        return None
    if match[2] is None:
        return str(parameter.opts[0])
    try:
        value = ast.literal_eval(match[2])
    except (ValueError, SyntaxError):
        return None
    if value is True:
        return str(parameter.opts[0])
    if value is False:
        return str(parameter.secondary_opts[0]) if parameter.secondary_opts else None
    values = value if isinstance(value, list | tuple) else [value]
    text = ",".join(map(str, values)).replace("\t", r"\t")  # as the options for a delimiter take it
    return f"{parameter.opts[0]} {shlex.quote(text)}"
