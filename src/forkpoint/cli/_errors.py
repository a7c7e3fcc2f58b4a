"""One clear message for whatever goes wrong, and the exit status for it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from forkpoint.errors import FULL, ForkpointError
from forkpoint.inert import plain

FINE, DIVERGENT, TROUBLE = 0, 1, 2
"""Exit statuses: identical or within tolerance; divergent; an error, or nothing certain."""


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command; turn its errors into a message on standard error and status 2.

    A message that cannot be printed, because standard error is full or closed, changes no status.

    With ``FORKPOINT_DEBUG=1`` in the environment, errors keep their traceback.
    """
    with suppress(OSError):
        return _run(command)
    _close_streams()
    return TROUBLE


def open_streams() -> None:
    """Give standard streams that are closed a place in /dev/null.

    A file that is opened later would else take their number, and get what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def _run(command: Callable[[], int | None]) -> int:
    try:
        status = command() or FINE
        sys.stdout.flush()  # what does not fit there is said, and not lost at exit
    except (KeyboardInterrupt, click.Abort) as stop:
        say("Stopped.", "\n".join(_notes(stop)))
    except (BrokenPipeError, SystemExit):  # the reader of our output has seen enough
        _close_streams()  # (click makes an exit of that, with the status that means divergent)
    except click.UsageError as error:
        _usage(error)
    except click.ClickException as error:
        say(error.format_message())
    except ForkpointError as error:
        _reraise_for_debugging()
        say(error.message, error.hint)
    except OSError as error:
        _reraise_for_debugging()
        say(*_os_error(error))
    except Exception as error:  # noqa: BLE001 - the last resort, and it is shown
        _reraise_for_debugging()
        say(
            f"forkpoint itself failed: {type(error).__name__}: {error}",
            "This is a bug. Run it again with FORKPOINT_DEBUG=1 and report the traceback.",
        )
    else:
        return status
    return TROUBLE


def say(message: str, hint: str = "") -> None:
    """An error on standard error: what is wrong, then what to do."""
    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("Error: ", "bold red"), visible(message)), soft_wrap=True)
    for line in visible(hint).splitlines():
        console.print(Text(f"  {line}"), soft_wrap=True)


def visible(text: str) -> str:
    """Foreign text without what could steer a terminal; lines and tabs stay."""
    pieces = re.split("([\n\t])", click.unstyle(text))
    return "".join(piece if piece in "\n\t" else plain(piece) for piece in pieces)


def _notes(stop: BaseException) -> list[str]:
    """What a Ctrl-C picked up on its way: what was kept. Click hides it in an `Abort`."""
    found = [*getattr(stop, "__notes__", [])]
    return found + (_notes(stop.__cause__) if stop.__cause__ else [])


def _usage(error: click.UsageError) -> None:
    message = error.format_message()
    context = error.ctx
    if context is not None and isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(message, err=True)
        return
    path = context.command_path if context else "forkpoint"
    hint = f"'{path} --help' shows how it is used."
    takes_script = context is not None and any(p.name == "words" for p in context.command.params)
    if isinstance(error, click.NoSuchOption) and takes_script:
        hint = f"Options of the script itself go behind --, as in: encode.py -- {hint_word(error)}"
    say(message, hint)


def hint_word(error: click.NoSuchOption) -> str:
    """The option that was not known, as the user wrote it."""
    return error.option_name


def _os_error(error: OSError) -> tuple[str, str]:
    place = f" ({error.filename})" if error.filename else ""
    message = f"{error.strerror or error}{place}"
    if error.errno in FULL:
        return message, "Free some space ('forkpoint env prune' removes built environments)."
    return message, "Check that path and its permissions."


def _reraise_for_debugging() -> None:
    if os.environ.get("FORKPOINT_DEBUG") == "1":
        raise  # noqa: PLE0704 - called inside of an except block only


def _close_streams() -> None:
    """Keep Python from complaining about what cannot be printed once more at exit."""
    with Path(os.devnull).open("wb") as nowhere:
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
