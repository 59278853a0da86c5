"""Run a command and turn what goes wrong into one line and an exit code.

Exit codes: 0 fine; 1 the verdict is not trusted and ``--strict`` was given; 2 usage,
model or configuration; 65 data or artifact; 70 internal; 74 input or output; 75
interrupted, the same command resumes; 130 a second Ctrl-C.
"""

import os
import signal
import sys
import traceback
from itertools import pairwise
from pathlib import Path
from types import FrameType

from typer.exceptions import Exit, TyperException
from typer.main import get_command

from .._core.errors import RetrodictError


PACKAGE = str(Path(__file__).resolve().parents[1])
USAGE, INTERNAL, IO, INTERRUPTED, KILLED = 2, 70, 74, 75, 130


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: Words of the command; those of the process by default.
    """
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    code = run(sys.argv[1:] if arguments is None else arguments)
    if code == INTERRUPTED:
        # An exception out of a signal, in the middle of JAX's compiler, leaves it in a
        # state whose orderly end is a segmentation fault. All files are closed.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    from .app import app

    try:
        # Not `app(arguments)`: that would turn Ctrl-C into an exit with 130.
        command = get_command(app)
        with command.make_context("retrodict", list(arguments)) as context:
            command.invoke(context)
    except Exit as exit_:
        return exit_.exit_code
    except TyperException as error:
        return _usage(error, arguments)
    except RetrodictError as error:
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say(
            "Interrupted. Finished simulations are kept; the same command continues.",
            INTERRUPTED,
        )
    except OSError as error:
        what = error.filename or "Reading or writing failed"
        return _say(f"{what}: {error.strerror or error}.", IO)
    except (ValueError, TypeError) as error:
        if _raised_here(error):
            return _say(str(error), USAGE)
        return _internal(error)
    except Exception as error:  # noqa: BLE001 (the last resort: one line all the same)
        return _internal(error)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    """First signal: stop in an orderly way. Second: at once."""
    del frame
    signal.signal(number, lambda *_: os._exit(KILLED))
    raise KeyboardInterrupt


def _say(message: str, code: int) -> int:
    print(f"retrodict: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _usage(error: TyperException, arguments: list[str]) -> int:
    """Say what is wrong with the words of a command, and where its help is."""
    message = error.format_message().rstrip(".")
    if not message:  # no words at all: typer has shown the help
        return error.exit_code
    names = getattr(getattr(error, "param", None), "opts", ())
    given = [b for a, b in pairwise(arguments) if a in names]
    if given:
        message += f"; got {given[-1]}"
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "retrodict"
    return _say(f"{message}. See: {path} --help", error.exit_code)


def _internal(error: Exception) -> int:
    if os.environ.get("RETRODICT_DEBUG"):
        traceback.print_exception(error)
    text = " ".join(str(error).split())
    return _say(
        f"internal error ({type(error).__name__}: {text[:300]}). This is a bug: please "
        "report it with the output of the same command under RETRODICT_DEBUG=1.",
        INTERNAL,
    )


def _raised_here(error: Exception) -> bool:
    """Whether our own code raised it, as its checks of arguments do."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(PACKAGE)
