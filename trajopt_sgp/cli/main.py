"""The command `trajopt-sgp`: dispatches to the commands, prints their result, turns errors into one sentence."""

import contextlib
import itertools
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer

from trajopt_sgp.cli.commands.collect import EXAMPLES as COLLECT_EXAMPLES
from trajopt_sgp.cli.commands.collect import collect
from trajopt_sgp.cli.commands.compare import CompareCommand, compare
from trajopt_sgp.cli.commands.demo import EXAMPLES as DEMO_EXAMPLES
from trajopt_sgp.cli.commands.demo import demo
from trajopt_sgp.cli.commands.evaluate import EXAMPLES as EVALUATE_EXAMPLES
from trajopt_sgp.cli.commands.evaluate import evaluate
from trajopt_sgp.cli.commands.hardware import hardware
from trajopt_sgp.cli.commands.import_recordings import EXAMPLES as IMPORT_EXAMPLES
from trajopt_sgp.cli.commands.import_recordings import import_recordings
from trajopt_sgp.cli.commands.info import EXAMPLES as INFO_EXAMPLES
from trajopt_sgp.cli.commands.info import info
from trajopt_sgp.cli.commands.mpc import EXAMPLES as MPC_EXAMPLES
from trajopt_sgp.cli.commands.mpc import mpc
from trajopt_sgp.cli.commands.plan import EXAMPLES as PLAN_EXAMPLES
from trajopt_sgp.cli.commands.plan import plan
from trajopt_sgp.cli.commands.study import EXAMPLES as STUDY_EXAMPLES
from trajopt_sgp.cli.commands.study import study
from trajopt_sgp.cli.commands.train import EXAMPLES as TRAIN_EXAMPLES
from trajopt_sgp.cli.commands.train import TrainCommand, train
from trajopt_sgp.cli.report import INTERRUPTED, Report, plain_warnings, print_json, print_report
from trajopt_sgp.errors import TrajoptError

FAILED = 1
USAGE = 2

# typer shows one error of command-line parsing in public; its bases are all the others.
_USAGE_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in typer.BadParameter.__mro__ if issubclass(kind, Exception) and kind is not Exception
)

app = typer.Typer(name="trajopt-sgp", no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False)


def _show_version(value: bool) -> bool:
    if value:
        typer.echo(f"trajopt-sgp {version('trajopt_sgp')}")
        raise typer.Exit
    return value


@app.callback()
def trajopt_sgp(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Plans and controllers from logged data: collect, train, plan, control; and compare ways to solve a problem.

    Global options stand before the command: `trajopt-sgp --debug plan ...`
    """


app.command(epilog=COLLECT_EXAMPLES)(collect)
app.command("import", epilog=IMPORT_EXAMPLES)(import_recordings)
app.command(cls=TrainCommand, epilog=TRAIN_EXAMPLES)(train)
app.command(epilog=PLAN_EXAMPLES)(plan)
app.command(epilog=MPC_EXAMPLES)(mpc)
app.command(epilog=EVALUATE_EXAMPLES)(evaluate)
app.command(cls=CompareCommand)(compare)
app.command(epilog=DEMO_EXAMPLES)(demo)
app.command(epilog=STUDY_EXAMPLES)(study)
app.command(epilog=INFO_EXAMPLES)(info)
app.add_typer(hardware, name="hardware")


def run(arguments: Sequence[str]) -> int:
    """Run a command line, without the name of the program, and return its exit code.

    0: done; 1: an error of the input or of the machine; 2: the command line cannot be read; 130: interrupted.
    """
    json_wanted = "--json" in arguments and "--help" not in arguments
    try:
        result = _invoke(arguments, json_wanted)
        if isinstance(result, Report):
            print_json(result.document) if json_wanted else print_report(result)
            return result.exit_code
    except _USAGE_ERRORS as error:
        return _usage_error(error, json_wanted)
    except BrokenPipeError:
        # the reader has gone; Python would complain once more when it closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except (TrajoptError, OSError) as error:
        return _failure(error, _debug_wanted(arguments), json_wanted)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(json_wanted)
    if result == INTERRUPTED:
        return _interrupted(json_wanted)
    return result if isinstance(result, int) else 0


def _invoke(arguments: Sequence[str], json_wanted: bool) -> Any:
    # whatever a library prints goes elsewhere: with --json standard output holds the document alone
    elsewhere = contextlib.redirect_stdout(sys.stderr) if json_wanted else contextlib.nullcontext()
    with elsewhere, plain_warnings():
        command = typer.main.get_command(app)
        return command.main(list(arguments), prog_name="trajopt-sgp", standalone_mode=False)


def _debug_wanted(arguments: Sequence[str]) -> bool:
    # errors may arise before typer has read the options, so it is not typer who tells
    return "--debug" in itertools.takewhile(lambda argument: argument.startswith("-"), arguments)


def _usage_error(error: Any, json_wanted: bool) -> int:
    error.show()
    if json_wanted:
        _print_error(error, error.format_message())
    return int(error.exit_code)


def _failure(error: TrajoptError | OSError, debug: bool, json_wanted: bool) -> int:
    if debug:
        traceback.print_exception(error)
    sentence = _os_sentence(error) if isinstance(error, OSError) else str(error)
    typer.echo(f"Error: {sentence}", err=True)
    if json_wanted:
        _print_error(error, sentence)
    return FAILED


def _interrupted(json_wanted: bool) -> int:
    typer.echo("Interrupted.", err=True)
    if json_wanted:
        print_json({"error": "Interrupted.", "kind": "KeyboardInterrupt"})
    return INTERRUPTED


def _print_error(error: BaseException, sentence: str) -> None:
    print_json({"error": sentence, "kind": type(error).__name__})


def _os_sentence(error: OSError) -> str:
    if error.filename is None:
        return f"{error}."
    return f"{error.filename} cannot be used: {error.strerror}. Choose another place, or change its permissions."


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))
