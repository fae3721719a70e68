"""The command `keras-attn app`, which shows models on a page in the browser."""

import importlib.util
import logging
from typing import Annotated

import typer

from keras_attn import zoo
from keras_attn.app.models import PageModel, titles
from keras_attn.app.page import summary
from keras_attn.app.server import address, bind, is_local, serve
from keras_attn.app.tabs import default_entries
from keras_attn.cli import framework, output
from keras_attn.cli.models import check_weights, find_model, locate

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL...",
        help="Entries of the zoo, .keras files, folders that `save_to_preset` wrote, folders of "
        "runs of `train --data`, or hf://OWNER/NAME (default: a good entry for each task).",
    ),
]


def show_page(
    names: Models = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 0.0.0.0 for all machines of the network."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = 7860,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Show models on a page in the browser: a tab for each task, with answers and explanations.

    Models are loaded when they are first used. The page needs no network. Ctrl-C ends it.
    """
    models = page_models(names or default_entries())
    for package in ("gradio", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                "The page needs gradio and matplotlib: pip install 'keras-attn[app]'."
            )
    framework.start()
    logging.getLogger("tensorflow").setLevel(
        logging.ERROR
    )  # inputs of new lengths are traced again
    with bind(host, port) as listening:
        if not is_local(listening):
            output.echo(
                f"warning: --host {host} lets everyone who can reach this machine use the page and "
                "its models. It has no passwords and no encryption.",
                err=True,
            )

        def started() -> None:
            output.echo(f"{summary(models)}: {address(listening)} (Ctrl-C ends it)")
            output.flush()

        serve(models, listening, started, open_)


def page_models(names: list[str]) -> list[PageModel]:
    """Return the models of the page. None is loaded, unless its task is not registered.

    Args:
        names: The arguments MODEL of the command; one that occurs twice is shown once.

    Raises:
        FileNotFoundError, ValueError: There is no such model, or an entry has no trained weights.
    """
    names = list(dict.fromkeys(names))
    models = []
    for name, title in zip(names, titles(names), strict=True):
        located = find_model(name)
        task, build = locate(located)
        if not zoo.is_saved(located):
            check_weights(zoo.describe(located), None)
        models.append(PageModel(located, title, task, build))
    return models
