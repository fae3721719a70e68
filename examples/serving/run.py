"""Serve a SavedModel on this machine until Ctrl-C or SIGTERM: `python run.py model=sentiment`.

Takes the options of app.py, `host` and `port`. At the end the replicas answer the requests that
they hold before the HTTP server stops; `serve run app:build` stops it at once.
"""

import os
import signal
import sys
import threading

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's authors

import pydantic
import ray
from ray import serve

from app import Options, build

APPLICATION = "default"


class Arguments(Options):
    """Options of the application, and the address of the HTTP server."""

    host: str = "127.0.0.1"
    port: int = 8000


def parse(arguments: list[str]) -> Arguments:
    """Return the options of the command line, or exit with a message."""
    names = ", ".join(Arguments.model_fields)
    usage = f"usage: python run.py model=FOLDER [NAME=VALUE ...]\nnames: {names}"
    if not arguments or not all("=" in each for each in arguments):
        sys.exit(usage)
    try:
        return Arguments(**dict(each.split("=", maxsplit=1) for each in arguments))
    except pydantic.ValidationError as error:
        lines = [f"{each['loc'][0]}: {each['msg']}" for each in error.errors()]
        sys.exit("\n".join([*lines, usage]))


def main() -> None:
    """Serve until a signal arrives; a second one ends the process at once."""
    arguments = parse(sys.argv[1:])
    try:
        application = build(Options(**arguments.model_dump(include=set(Options.model_fields))))
    except FileNotFoundError as error:
        sys.exit(str(error))
    ray.init(address="local")  # a cluster of its own: `serve.shutdown` ends all applications
    # Longer than the application's own limit, which has the clearer message.
    timeout = arguments.body_seconds + arguments.predict_seconds + 5
    serve.start(
        http_options={
            "host": arguments.host,
            "port": arguments.port,
            "request_timeout_s": timeout,
        }
    )
    stopped = threading.Event()

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    serve.run(application, name=APPLICATION)
    stopped.wait()
    serve.delete(APPLICATION)
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
