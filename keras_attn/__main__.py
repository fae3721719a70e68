"""The entry point of the command line: `keras-attn`, and `python -m keras_attn`."""

import sys


def main() -> None:
    """Run the command line, see `keras_attn.cli.entry_point`.

    Ctrl-C while it is imported ends the process with status 130, as later, without a traceback.
    """
    try:
        from keras_attn import cli
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
