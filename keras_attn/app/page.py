"""The page: a tab for each task, built with gradio."""

import html as markup
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keras_attn._wording import counted
from keras_attn.app import results
from keras_attn.app.models import LOCK, PageModel
from keras_attn.app.tabs import Tab, group

TITLE = "keras_attn"
MAX_WAITING = 16  # requests in the queue
HOUR = 3600  # seconds
TOP = 10  # labels whose probabilities are shown
EXPECTED = (ValueError, TypeError, OSError, RuntimeError, ImportError, KeyError, MemoryError)
CSS = """
.ka-answer {font-size: 1.5rem; font-weight: 600; overflow-wrap: anywhere}
.ka-detail {font-size: .9rem; opacity: .75; margin-top: 4px}
.ka-about {font-size: .9rem; opacity: .85; white-space: pre-line; overflow-wrap: anywhere}
.ka-text {white-space: pre-wrap; overflow-wrap: anywhere; font-size: 1.05rem; line-height: 1.6}
.ka-prompt {opacity: .6}
.ka-box > :not(label) {margin-top: 10px}
.ka-picture img {width: 100%; height: 100%; object-fit: contain}
.ka-warning {border-left: 4px solid #d97706}
.ka-account {border-left: 4px solid #90a4ae}
.ka-notes {padding: 4px 10px; margin: 8px 0; font-size: .9rem;
  overflow-wrap: anywhere}
.ka-agreement {font-size: .95rem; margin-bottom: 8px}
.ka-agreement ul {list-style: disc; padding-left: 1.4em; margin: 4px 0}
.ka-table {border-collapse: collapse; font-size: .95rem; margin: 6px 0; width: 100%}
.ka-table th {text-align: left; padding: 4px 12px 4px 0; vertical-align: top; font-weight: 600}
.ka-table td {overflow-wrap: anywhere; padding: 4px 0}
.ka-wide {overflow-x: auto; background: #fff; border-radius: 6px}
.ka-wide img {max-width: 100%; margin: 0}
.ka-wide table {margin: 4px 0 12px}
.ka-wait {opacity: .75}
.ka-title h1 {font-size: 1.6rem; font-weight: 600; margin: 0}
.ka-title p {margin: 2px 0 0}
@media (max-width: 700px) {.ka-explanation .ka-wide img {max-width: none !important;
  max-height: 420px; width: auto; height: auto}}
"""


def import_gradio() -> Any:
    """Return gradio, which is an optional dependency.

    Raises:
        ImportError: It is not installed; the message says how to install it.
    """
    import os

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # also while it is imported
    try:
        import gradio
    except ImportError as error:
        raise ImportError(
            "The page needs gradio and matplotlib: pip install 'keras-attn[app]'."
        ) from error
    return gradio


def build_page(models: Sequence[PageModel], folder: pathlib.Path) -> Any:
    """Return the page as a `gradio.Blocks`. No model is loaded.

    Args:
        models: The models, with different titles.
        folder: Folder for files of examples.

    Raises:
        ImportError: gradio is not installed.
    """
    gr = import_gradio()
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(HOUR, HOUR)) as page:
        gr.HTML(
            '<div class="ka-title"><h1>keras_attn</h1><p>Attention models to try: what they '
            "answer, and what the answer depends on. They run on the machine that serves this "
            "page, and nothing is sent elsewhere.</p></div>"
        )
        with gr.Tabs():
            for tab, members in group(models):
                with gr.Tab(tab.heading):
                    _build_tab(gr, tab, members, folder)
    return page.queue(max_size=MAX_WAITING, default_concurrency_limit=1)


def theme(gr: Any) -> Any:
    """Return the theme, with fonts of the system: nothing is loaded from another host."""
    return gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )


def _build_tab(gr: Any, tab: Tab, members: Sequence[PageModel], folder: pathlib.Path) -> None:
    """Add the components and events of a tab."""
    choices = [model.title for model in members]
    box: dict[str, Any] = {
        "show_label": True, "container": True, "padding": True, "apply_default_css": False
    }  # fmt: skip
    with gr.Row():
        with gr.Column(min_width=300):
            selector = gr.Dropdown(choices, value=choices[0], label="Model")
            about = gr.HTML(_about(members[0]))
            value = tab.input(gr)
            with gr.Accordion("Options", open=False, visible=bool(tab.fields)):
                fields = {name: field.component(gr) for name, field in tab.fields.items()}
            button = gr.Button(tab.button, variant="primary")
            drawn = gr.Button(tab.drawn_button) if tab.drawn_button else None
            if examples := tab.examples(members, folder):
                gr.Examples(
                    [list(example) for example in examples],
                    [selector, value],
                    label="Examples",
                    visible_columns=[1],  # the model is seen when it is chosen
                    api_visibility="private",
                )
        with gr.Column(min_width=300):
            answer = gr.HTML(
                _waiting("The answer appears here."),
                label="Answer",
                elem_classes=["ka-box", "ka-answers"],
                **box,
            )
            outputs = [answer]
            if tab.has_probabilities:
                outputs.append(
                    gr.Label(label="Probabilities", num_top_classes=TOP, show_heading=False)
                )
    explanation = gr.HTML(
        _waiting("What the answer depends on appears here."),
        label="Explanation",
        elem_classes=["ka-box", "ka-explanation"],
        **box,
    )
    outputs.append(explanation)
    by_title = {model.title: model for model in members}
    selector.change(
        lambda title: _about(by_title[title]),
        selector,
        about,
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )
    inputs = [selector, value, *fields.values()]
    options: dict[str, Any] = {
        "inputs": inputs,
        "outputs": outputs,
        "concurrency_id": "models",
        "concurrency_limit": 1,
        "show_progress": "minimal",
        "api_visibility": "private",
    }
    run = runner(gr, tab, by_title, tuple(fields))
    button.click(run, **options)
    if drawn is not None:
        drawn.click(
            lambda title: _draw(gr, tab, by_title[title], folder),
            selector,
            value,
            concurrency_id="models",
            api_visibility="private",
        ).success(run, **options)


def runner(
    gr: Any, tab: Tab, models: dict[str, PageModel], names: Sequence[str]
) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """Return the function of a tab's button: it yields the answer, then with its explanation.

    Args:
        gr: gradio.
        tab: The tab.
        models: Its models by title.
        names: The names of the options whose values follow the input.
    """

    def outputs(answer: str, probabilities: Any, explanation: str) -> tuple[Any, ...]:
        if tab.has_probabilities:
            return answer, probabilities, explanation
        return answer, explanation

    def run(title: str, value: Any, *settings: Any) -> Iterator[tuple[Any, ...]]:
        model = models[title]
        passed = dict(zip(names, settings, strict=True))
        options = {key: each for key, each in passed.items() if each not in (None, "")}
        doing = "Working ..." if model.is_loaded else f"Loading {model.title} ..."
        yield outputs(_waiting(doing), None, "")
        try:
            answered = tab.answer(model, value, options)
            account = [_with_name(tab, answered.account, value)] if answered.account else []
            shown = (
                tab.show(answered.answer)
                + results.notes_html(answered.warnings)
                + results.notes_html(account, "account")
            )
        except EXPECTED as error:
            message = _message(tab, error, value)
            yield outputs(results.notes_html([message]), None, "")
            raise _as_notice(gr, message) from error
        probabilities = getattr(answered.answer, "probabilities", None)
        yield outputs(shown, probabilities, _waiting("Explaining ..."))
        try:
            explained = tab.explain(model, answered, options)
        except NotImplementedError:
            explained = results.notes_html(["The task has no explanations."])
        except EXPECTED as error:
            explained = results.notes_html([f"No explanation: {_message(tab, error, value)}"])
        yield outputs(shown, probabilities, explained)

    return run


def _as_notice(gr: Any, message: str) -> Any:
    """Return a message as a `gradio.Error`, which the page shows, and the terminal does not."""
    return gr.Error(markup.escape(message), print_exception=False)


def _message(tab: Tab, error: BaseException, value: Any) -> str:
    message = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return _with_name(tab, message or f"{type(error).__name__}.", value)


def _with_name(tab: Tab, message: str, value: Any) -> str:
    """Return a message with the name of an uploaded file in place of its path."""
    if tab.task.reads != "files" or not isinstance(value, str):
        return message
    name = pathlib.PurePath(value).name
    return message.replace(value, name).replace(repr(value)[1:-1], name)  # as in a message


def _draw(gr: Any, tab: Tab, model: PageModel, folder: pathlib.Path) -> str:
    try:
        with LOCK:
            return str(tab.draw(model.model, folder))
    except EXPECTED as error:
        raise _as_notice(gr, _message(tab, error, None)) from error


def _about(model: PageModel) -> str:
    return f'<div class="ka-about">{markup.escape(model.about)}</div>'


def _waiting(text: str) -> str:
    return f'<div class="ka-wait">{markup.escape(text)}</div>'


def summary(models: Sequence[PageModel]) -> str:
    """Return the number of models and of tabs in words."""
    return f"{counted(len(models), 'model')} in {counted(len(group(models)), 'tab')}"
