"""What the verbs share: options in several verbs, lists of values, and errors in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

import methods
from bench.cli import types as options


@contextmanager
def clear_errors() -> Iterator[None]:
    """Bad input ends in one sentence and exit 2."""
    from bench.journal import CannotWrite, CorruptJournal

    try:
        yield
    except (ValueError, ImportError, OSError, CannotWrite, CorruptJournal, methods.UnknownMethod) as error:
        raise click.UsageError(str(error)) from error


def repeated(*names: str, kind: Any, **extra: Any) -> Any:
    """An option that takes comma lists and may be repeated."""
    return click.option(*names, type=kind, multiple=True, callback=options.flat, **extra)


def single(*names: str, kind: Any, **extra: Any) -> Any:
    """An option of the same kinds that takes one value."""

    def one(ctx: click.Context, param: click.Parameter, value: tuple[Any, ...]) -> Any:
        if len(value) != 1:
            raise click.BadParameter("takes one value here", ctx, param)
        return value[0]

    return click.option(*names, type=kind, callback=one, **extra)


def plugin_option(command: Any) -> Any:
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False),
        help="Python file that registers methods.",
    )(command)


TIMERS, ALLOCATORS = click.Choice(["cold", "hot", "graph", "wall"]), click.Choice(["tuned", "default"])
timer_option = click.option("--timer", type=TIMERS, default="cold", show_default=True, help="On a GPU.")
malloc_option = click.option("--malloc", type=ALLOCATORS, default="tuned", show_default=True, help="Allocator of workers.")


def training_options(command: Any) -> Any:
    """How accuracy is measured."""
    for option in reversed(
        (
            repeated("--data", kind=options.WORDS, default=["digits"], show_default=True, help="Of accuracy: NAME[option=value]."),
            click.option("--download", is_flag=True, help="Fetch the data first where they are not here."),
            click.option("--seeds", type=click.IntRange(1), help="Accuracy with so many seeds from 0 on; default: as --seed."),
            click.option("--recipe", default="quick", show_default=True, help="Named training protocol."),
            click.option("--budget", metavar="60s|epochs=20", help="Length of a training."),
            click.option("--train-res", type=click.IntRange(1), help="Resolution of the training images."),
            repeated("--eval-res", kind=options.POSITIVE, help="Evaluate there too, without training there: 16,24,32."),
            click.option(
                "--keep-weights",
                type=click.Choice(["last", "epochs"]),
                help="For analyze: the last, or each epoch's.",
            ),
            click.option("--save-every", type=options.SECONDS, default="60", show_default=True, help="Of a training's state."),
            click.option(
                "--at-once", type=click.IntRange(1), default=1, show_default=True, help="Trainings side by side, on a CPU."
            ),
            click.option("--train", multiple=True, metavar="SETTING=VALUE", help="Of the recipe: lr=0.01,0.02 tries two."),
        )
    ):
        command = option(command)
    return command
