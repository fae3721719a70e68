"""The entry point of the command line: exit statuses, and one message for every error.

| status | meaning |
|---|---|
| 0 | success |
| 1 | an error, reported as one message on standard error |
| 2 | wrong usage of a command or an option |
| 75 | training was stopped by SIGTERM, or lost a worker; --resume or --auto-resume continues it |
| 130 | interrupted by Ctrl-C; `train` saves a checkpoint if a step was completed |
| 141 | the reader of standard output has closed the pipe |
"""

import sys
import traceback
from typing import Any

import pydantic
import typer

from keras_attn._setting_errors import setting_problems
from keras_attn.cli import framework, output, training
from keras_attn.cli.commands import app, settings

INTERRUPTED = 130
_ERRORS = (ValueError, TypeError, OSError, RuntimeError, ImportError, KeyError, MemoryError)
# Typer has it from Click, or from a copy of Click of its own.
_UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main() -> None:
    """Run the command line. Errors are reported as one message and a nonzero status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # in an encoding without all letters
    try:
        status = app(prog_name="keras-attn", standalone_mode=False)
        output.flush()
        if status == INTERRUPTED:  # Typer converts KeyboardInterrupt
            raise KeyboardInterrupt
        sys.exit(status)
    except (KeyboardInterrupt, typer.Abort):
        output.echo("\nInterrupted.", err=True)
        sys.exit(INTERRUPTED)
    except _UsageError as error:
        _report_usage(error)
        sys.exit(error.exit_code)
    except _ERRORS as error:
        if settings["traceback"]:
            output.echo(traceback.format_exc(), err=True, end="")
        else:
            output.echo_error(error.args[0] if isinstance(error, KeyError) else error)
        training.leave(error)
    finally:
        framework.stop()


def _report_usage(error: Any) -> None:
    """Report a wrong command, option or value, and name the help."""
    message = error.format_message().rstrip(".")
    if isinstance(error.__cause__, pydantic.ValidationError) and error.param is not None:
        (problem, *_) = setting_problems(error.__cause__)
        message = f"{error.param.opts[0]} {problem.text.rstrip('.')}"
    if type(error).__name__ == "NoArgsIsHelpError":
        output.echo(message, end="")  # empty where Typer has printed the help already
        return
    command = error.ctx.command_path if error.ctx is not None else "keras-attn"
    output.echo_error(f"{message}. See {command} --help.")
