"""Options that several commands share, and the conversion of exceptions to error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

import methods
from bench.cli import types


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn exceptions for invalid input into a one-sentence error and exit status 2."""
    from bench.journal import CannotWrite, CorruptJournal

    try:
        yield
    except (ValueError, ImportError, OSError, CannotWrite, CorruptJournal, methods.UnknownMethod) as error:
        raise click.UsageError(str(error)) from error


def repeated(*names: str, kind: Any, **extra: Any) -> Any:
    """Return an option that takes comma lists and may be repeated."""
    return click.option(*names, type=kind, multiple=True, callback=types.flat, **extra)


def single(*names: str, kind: Any, **extra: Any) -> Any:
    """Return an option of the same types that takes one value."""

    def callback(ctx: click.Context, param: click.Parameter, value: tuple[Any, ...]) -> Any:
        if len(value) != 1:
            raise click.BadParameter("takes one value", ctx, param)
        return value[0]

    return click.option(*names, type=kind, callback=callback, **extra)


def plugin_option(command: Any) -> Any:
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False),
        help="Python file that registers methods.",
    )(command)


TIMERS, ALLOCATORS = click.Choice(["cold", "hot", "graph", "wall"]), click.Choice(["tuned", "default"])
timer_option = click.option("--timer", type=TIMERS, default="cold", show_default=True, help="Latency timer on a GPU.")
malloc_option = click.option("--malloc", type=ALLOCATORS, default="tuned", show_default=True, help="C allocator of the workers.")


def training_options(command: Any) -> Any:
    """Add the options of accuracy to a command."""
    for option in reversed(
        (
            repeated(
                "--data", kind=types.NAMES, default=["digits"], show_default=True, help="Data sets of accuracy: NAME[option=value]."
            ),
            click.option("--download", is_flag=True, help="Download missing data sets."),
            click.option("--seeds", type=click.IntRange(1), help="Number of seeds of accuracy, from 0; default: those of --seed."),
            click.option("--recipe", default="quick", show_default=True, help="Named training protocol."),
            click.option("--budget", metavar="60s|epochs=20", help="Length of each training."),
            click.option("--train-res", type=click.IntRange(1), help="Resolution of the training images."),
            repeated("--eval-res", kind=types.POSITIVE, help="Additional resolutions for evaluation only: 16,24,32."),
            click.option(
                "--keep-weights",
                type=click.Choice(["last", "epochs"]),
                help="Save weights for analyze: of the last epoch, or of every epoch.",
            ),
            click.option("--save-every", type=types.SECONDS, default="60", show_default=True, help="Time between checkpoints."),
            click.option(
                "--at-once", type=click.IntRange(1), default=1, show_default=True, help="Number of parallel trainings on a CPU."
            ),
            click.option(
                "--train", multiple=True, metavar="SETTING=VALUE", help="Change a setting of the recipe; lr=0.01,0.02 searches two."
            ),
        )
    ):
        command = option(command)
    return command
