"""The entry point: understand the line, call the command, turn what happened into an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from penstock import __version__, clock, errors
from penstock.cli import exit_codes, options
from penstock.cli.terminal import Terminal
from penstock.core import plain_text

if TYPE_CHECKING:
    from cyclopts import App


def main() -> int:
    """Run the command line of this process; returns what to exit with."""
    # Until the command is called, everything that is made stays: looking for garbage would cost a tenth of the time.
    gc.disable()
    line = sys.argv[1:]
    out, err, stdin = _streams()
    if line in (["--version"], ["-V"], ["version"]):
        # Answered before anything is imported: shells and installers ask this all the time.
        out.write(f"penstock {__version__}\n")
        out.flush()
        return exit_codes.OK
    code = call(line, out=out, err=err, stdin=stdin, environ=os.environ, time=clock.SYSTEM)
    return _flushed(out, err, code)


def call(
    line: Sequence[str],
    *,
    out: TextIO,
    err: TextIO,
    stdin: TextIO | None,
    environ: Mapping[str, str],
    time: clock.Clock,
) -> int:
    """One call of the command line, with everything that it touches handed in. Never raises an `Exception`."""
    terminal = Terminal(out, err, stdin, environ)
    wanted = options.GlobalOptions()
    wanted.debug = "--debug" in line
    try:
        wanted = options.take(list(line))
        terminal = Terminal(
            out,
            err,
            stdin,
            environ,
            colour=False if wanted.no_color else None,
            quiet=wanted.quiet,
            verbose=wanted.verbose,
            may_ask=not wanted.no_input,
        )
        return _dispatch(wanted, terminal, environ, time)
    except KeyboardInterrupt:
        terminal.say("Interrupted")
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        return exit_codes.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  the last place where an error can be told
        return _fail(terminal, error, debug=wanted.debug)


def _dispatch(wanted: options.GlobalOptions, terminal: Terminal, environ: Mapping[str, str], time: clock.Clock) -> int:
    # Everything below needs cyclopts; `penstock --version` does not, and comes here never.
    from cyclopts import CycloptsError  # noqa: PLC0415  see above

    from penstock.cli import tree  # noqa: PLC0415  see above
    from penstock.cli.session import Session  # noqa: PLC0415  see above

    app = tree.build()
    try:
        if options.has_short(wanted.rest):
            options.take_short(wanted, _own_options(app, wanted.rest))
            terminal.quiet, terminal.verbose = wanted.quiet, wanted.verbose
        line = _aliased(wanted.rest)
        session = Session(terminal, wanted, environ, time)
        if wanted.help or _asks_a_noun(app, line):
            return _help(app, terminal, line)
        command, bound, injected = app.parse_args(
            line, print_error=False, exit_on_error=False, help_on_error=False, verbose=False
        )
    except CycloptsError as error:
        from penstock.cli import faults  # noqa: PLC0415  only for a line that is wrong

        raise faults.explain(error, app) from (error if wanted.debug else None)
    _warn_of_strangers(terminal, environ, line)
    listening = _narrate(terminal)
    gc.freeze()  # what has been imported stays until the end: looking through it again finds nothing
    gc.enable()
    try:
        result: Any = command(*bound.args, **bound.kwargs, **dict.fromkeys(injected, session))
    finally:
        session.close()
        listening()
    return result if isinstance(result, int) else exit_codes.OK


def _own_options(app: App, line: list[str]) -> set[str]:
    """How the options of the command on the line are written."""
    from penstock.cli import describe  # noqa: PLC0415  only to tell `-p` from `-p`

    _, apps, _ = app.parse_commands([word for word in line if word != "-h"])
    return {name for option in describe.describe(apps[-1]).options for name in option.names}


def _aliased(line: list[str]) -> list[str]:
    return ["version", *line[1:]] if line[:1] in (["--version"], ["-V"]) else line


def _asks_a_noun(app: App, line: list[str]) -> bool:
    """Whether the line ends at a noun: then its commands are listed."""
    _, apps, rest = app.parse_commands(line)
    return not rest and apps[-1].default_command is None


def _help(app: App, terminal: Terminal, line: list[str]) -> int:
    from penstock.cli import describe, help  # noqa: A004, PLC0415

    chain, apps, rest = app.parse_commands(line)
    unknown = next((word for word in rest if not word.startswith("-")), None)
    if unknown is not None and apps[-1].default_command is None:
        app.parse_args([*chain, unknown], print_error=False, exit_on_error=False, verbose=False)  # raises
    terminal.write(help.render(terminal, describe.describe(apps[-1], chain)))
    return exit_codes.OK


def _warn_of_strangers(terminal: Terminal, environ: Mapping[str, str], line: list[str]) -> None:
    """Tell of variables that were probably meant to be settings, unless the command itself is about to."""
    from penstock import settings  # noqa: PLC0415  as above

    if line[:1] == ["doctor"] or line[:2] == ["config", "validate"]:
        return
    for name, meant in settings.strangers(environ).items():
        if meant:
            terminal.warn(f"{name} is not a setting, and changes nothing; did you mean `{meant}`?")


def _narrate(terminal: Terminal) -> Callable[[], None]:
    """With ``--verbose``: print what Penstock tells about its own doing."""
    if not terminal.verbose:
        return lambda: None
    from penstock import telemetry  # noqa: PLC0415  only for those who ask for it

    return telemetry.subscribe(
        lambda event, details: terminal.detail(" ".join([event, *(f"{key}={value}" for key, value in details.items())]))
    )


def _fail(terminal: Terminal, error: Exception, *, debug: bool) -> int:
    if debug:
        import traceback  # noqa: PLC0415  only to show it

        terminal.err.write("".join(traceback.format_exception(error)))
    if isinstance(error, errors.PenstockError):
        if isinstance(error, errors.FlowFileError) and error.__cause__ is not None and not debug:
            from penstock.engine import tracebacks  # noqa: PLC0415  only to show it

            terminal.err.write(tracebacks.of_user(error.__cause__) + "\n")
        terminal.complain(error)
        return error.exit_code
    if isinstance(error, PermissionError) and error.filename:
        told = errors.PenstockError(f"Not allowed: `{error.filename}`", hint="`penstock doctor` looks at the home")
    elif isinstance(error, OSError) and error.strerror:
        what = f"{error.strerror}: `{error.filename}`" if error.filename else error.strerror
        told = errors.PenstockError(what)
    elif isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        told = plain_text.not_utf8(error)  # what is no text on the line comes as surrogates
    else:
        told = errors.PenstockError(
            f"Penstock itself failed, with {type(error).__name__}: {error}",
            hint="`--debug` shows where; please report it",
        )
    terminal.complain(told)
    return told.exit_code


def _streams() -> tuple[TextIO, TextIO, TextIO | None]:
    """The three streams of this process; one that was closed by whoever started it swallows what it gets."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]  a stream that is no text file has none
    null: TextIO | None = None
    if sys.stdout is None or sys.stderr is None:
        null = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  lives as long as the process
    return sys.stdout or _given(null), sys.stderr or _given(null), sys.stdin


def _given(stream: TextIO | None) -> TextIO:
    assert stream is not None
    return stream


def _flushed(out: TextIO, err: TextIO, code: int) -> int:
    """Flush while an error can still be handled: at the exit of the interpreter it would be printed."""
    for stream in (out, err):
        try:
            stream.flush()
        except BrokenPipeError:
            # What is left in the buffer has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = code or exit_codes.BROKEN_PIPE
        except (OSError, ValueError):
            code = code or exit_codes.FAILURE
    return code
