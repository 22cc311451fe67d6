"""Commands from classes of options, and the conversion of exceptions to error messages."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field
from typing import Any, TypeVar

import click

import methods
from bench.cli.types import Value, metavar
from bench.kinds import SWITCH
from bench.options import Option, Options, declaration, flat

LAST = ("plugins", "as_json")  # in a help text
FAILED_JOBS = 3  # exit status, also if the disk is full
O = TypeVar("O", bound=Options)  # noqa: E741


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn exceptions for invalid input into a one-sentence error and exit status 2."""
    from bench.journal import CannotWrite, CorruptJournal

    try:
        yield
    except (ValueError, ImportError, OSError, CannotWrite, CorruptJournal, methods.UnknownMethod) as error:
        raise click.UsageError(str(error)) from error


def command(options: type[O], name: str | None = None) -> Callable[[Callable[[O], None]], click.Command]:
    """Return a decorator that makes a command of a function of these options. Its docstring is the help text."""

    def decorate(work: Callable[[O], None]) -> click.Command:
        @functools.wraps(work)
        def run(**values: Any) -> None:
            with clear_errors():
                read = options.of(**{name: value for name, value in values.items() if value is not None})
            work(read)

        made = click.command(name)(run)
        made.params = [_parameter(name, item) for name, item in sorted(flat(options), key=lambda pair: pair[0] in LAST)]
        return made

    return decorate


def _parameter(name: str, item: Field[Any]) -> click.Parameter:
    declared = declaration(item)
    assert declared is not None
    many = declared.many and declared.commas
    if declared.argument:
        return click.Argument(
            [name],
            type=Value(declared),
            nargs=-1 if declared.many else 1,
            required=item.default is MISSING,
            metavar=_argument_metavar(name, declared, item.default is MISSING),
        )
    flags = declared.flags or (f"--{name.replace('_', '-')}",)
    if declared.kind is SWITCH:
        return click.Option([name, *flags], is_flag=True, default=item.default, help=declared.help)
    return click.Option(
        [name, *flags],
        type=Value(declared),
        multiple=declared.many,
        required=item.default is MISSING,
        help=_help(declared, item.default),
        metavar=metavar(declared.kind, many),
        callback=_given if declared.many else None,
    )


def _argument_metavar(name: str, declared: Option, required: bool) -> str:
    if declared.flags:
        return declared.flags[0]
    if declared.many:
        return f"[{name.upper()}]..."
    return name.upper() if required else f"[{name.upper()}]"


def _help(declared: Option, default: Any) -> str:
    """Return the help text, with the range of the values and the default, if the text does not state it."""
    if default in (None, (), "") or default is MISSING or "default" in declared.help:
        shown = ""
    else:
        shown = "default: " + ",".join(map(declared.kind.write, default if declared.many else [default]))
    notes = "; ".join(filter(None, (declared.kind.limits, shown)))
    return f"{declared.help}  [{notes}]" if notes else declared.help


def _given(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the texts of a repeated option; None if it is not given."""
    return value or None


def typed_command() -> str:
    """Return the command as the user typed it."""
    return shlex.join(["python", "-m", "bench", *sys.argv[1:]])
