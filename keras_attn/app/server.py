"""The web server of the page: a socket of this machine, and headers that keep the page to it."""

import contextlib
import errno
import ipaddress
import os
import pathlib
import signal
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keras_attn.app.models import PageModel
from keras_attn.app.page import CSS, build_page, import_gradio, theme

MAX_UPLOAD = 50 * 1024 * 1024  # bytes of a file
LOCAL_NAMES = ["127.0.0.1", "localhost", "[::1]"]
# The browser itself refuses requests to any other host.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
TERMINATED = 143  # exit status: 128 and the number of SIGTERM


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port of an address of this machine.

    Args:
        host: Name or address.
        port: The port; 0 for any that is free.

    Raises:
        ValueError: The host is unknown, or not an address of this machine.
        OSError: The port is in use, or needs the rights of an administrator.

    Example:

    >>> with bind("127.0.0.1", 0) as listening:
    ...     listening.getsockname()[0]
    '127.0.0.1'
    """
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise ValueError(_unknown_host(host)) from error
    listening = socket.socket(family, kind)
    try:
        if os.name == "posix":  # elsewhere the option would share the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"The port {port} of {host} is in use, perhaps by another `keras-attn app`. End "
                f"that, or choose another port: --port {min(port + 1, 65535)}; 0 is any free one."
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise ValueError(_unknown_host(host)) from error
        if error.errno == errno.EACCES:
            raise OSError(
                f"The port {port} needs the rights of an administrator. Choose one from 1024 on."
            ) from error
        raise
    return listening


def _unknown_host(host: str) -> str:
    return (
        f"`host` must be a name or an address of this machine. Received: {host!r}. 127.0.0.1 is "
        "for this machine alone, and 0.0.0.0 for all machines of the network."
    )


def is_local(listening: socket.socket) -> bool:
    """Return whether only this machine can connect to a socket."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def address(listening: socket.socket) -> str:
    """Return the address of the page, as one opens it in a browser on this machine."""
    host, port = listening.getsockname()[:2]
    ip = ipaddress.ip_address(host.partition("%")[0])
    if ip.is_unspecified:
        host = "127.0.0.1"
    elif ip.version == 6:
        host = f"[{host}]"
    return f"http://{host}:{port}"


def names_of(listening: socket.socket) -> list[str]:
    """Return the names by which a socket is reached: any, unless only this machine connects."""
    if not is_local(listening):
        return ["*"]
    host = listening.getsockname()[0]
    return [*LOCAL_NAMES, host, socket.gethostname()]


@contextlib.contextmanager
def web_app(models: Sequence[PageModel], names: Sequence[str] = ("*",)) -> Iterator[Any]:
    """Return the page as an ASGI application, until the end of the block.

    Uploaded files are in a folder of their own, which is removed at the end.

    Args:
        models: The models, with different titles.
        names: Names of this machine by which requests are answered; "*" for any. A page of another
            site could otherwise reach this one by a name of its own (DNS rebinding).

    Raises:
        ImportError: gradio is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="keras_attn_app_", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name).resolve()
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = str(folder)  # before gradio is imported, which reads it
        try:
            gr = import_gradio()
            from fastapi import FastAPI
            from starlette.middleware.trustedhost import TrustedHostMiddleware

            outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
            outer.add_middleware(_Headers)
            outer.add_middleware(_SameOrigin)
            outer.add_middleware(TrustedHostMiddleware, allowed_hosts=list(names))
            yield gr.mount_gradio_app(
                outer,
                build_page(models, folder),
                path="/",
                footer_links=[],
                run_history=False,
                show_error=False,
                max_file_size=MAX_UPLOAD,
                ssr_mode=False,
                enable_monitoring=False,
                pwa=False,
                mcp_server=False,
                theme=theme(gr),
                css=CSS,
            )
        finally:
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


def serve(
    models: Sequence[PageModel],
    listening: socket.socket,
    started: Callable[[], None],
    open_browser: bool = False,
) -> None:
    """Serve the page until Ctrl-C, or SIGTERM, which ends the process with status 143.

    Args:
        models: The models, with different titles.
        listening: The socket.
        started: Function to call when the page is ready.
        open_browser: Whether to open the page in the browser of this machine.

    Raises:
        ImportError: gradio is not installed.
    """
    with web_app(models, names_of(listening)) as application:
        import uvicorn

        class Server(uvicorn.Server):
            async def startup(self, *arguments: Any, **options: Any) -> None:
                await super().startup(*arguments, **options)
                started()
                if open_browser:
                    webbrowser.open(address(listening))

        config = uvicorn.Config(
            application, log_level="warning", access_log=False, timeout_graceful_shutdown=1
        )
        signal.signal(signal.SIGTERM, _terminate)
        with contextlib.suppress(KeyboardInterrupt):
            Server(config).run(sockets=[listening])


def _terminate(number: int, frame: Any) -> None:
    raise SystemExit(TERMINATED)


class _SameOrigin:
    """Refuses what pages of other sites send, such as uploads, in an ASGI application."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import PlainTextResponse

        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            headers = dict(scope["headers"])
            # A page of another site cannot set X-Forwarded-Host without asking first.
            own = (headers.get(b"host"), headers.get(b"x-forwarded-host"))
            origin = headers.get(b"origin", b"").partition(b"://")[2]
            if b"origin" in headers and origin not in own:
                refusal = PlainTextResponse("Requests of other sites are refused.", 403)
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


class _Headers:
    """Adds `HEADERS` to each response of an ASGI application."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                known = [pair for pair in message["headers"] if pair[0].lower() not in HEADERS]
                message = {**message, "headers": [*known, *HEADERS.items()]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
