"""Options of the commands and of the Python functions, declared once as fields of a dataclass.

    @dataclass(frozen=True, kw_only=True)
    class LimitOptions(Options):
        timeout: float = option(300.0, "Time limit per job.", SECONDS)

The command line makes `--timeout` of it; Python takes `timeout=300` or `timeout="5min"`. Both are read by the same kind.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import methods
from bench.kinds import FILE, RESOLUTION, SWITCH, TEXT, Kind
from bench.names import parse, split
from methods.registry import did_you_mean

NAMES = Kind("NAME", lambda text: str(parse(text)))  # NAME[option=value,...]
METHODS = Kind("METHOD", str, lambda: ["all", *methods.names()])


@dataclass(frozen=True)
class Option:
    """How an option is given. `many` values are a comma list, in which brackets protect commas, or a repeated option."""

    kind: Kind
    help: str
    many: bool
    commas: bool  # False: a comma belongs to the value, and only repeating gives several
    flags: tuple[str, ...]  # of the command line, if not --name; an argument has none
    argument: bool

    def value(self, given: Any) -> Any:
        """Return the value of text or of a Python object. Raises ValueError."""
        if self.kind is SWITCH:
            if not isinstance(given, bool):
                raise ValueError(f"{given!r} is neither True nor False")
            return given
        if given is None:
            return None
        return tuple(dict.fromkeys(map(self.kind.of, self.items(given)))) if self.many else self.kind.of(given)

    def items(self, given: Any) -> Iterator[Any]:
        """Yield each of many values, given as text, a Python object, a mapping NAME=VALUE or an iterable of them."""
        if isinstance(given, Mapping):
            yield from (f"{name}={value}" for name, value in given.items())
            return
        single = isinstance(given, str) or not isinstance(given, Iterable) or self.is_size(given)
        for item in (given,) if single else given:
            yield from split(item) if self.commas and isinstance(item, str) else (item,)

    def is_size(self, given: Any) -> bool:
        """Return True for (height, width), one size and not two."""
        return self.kind is RESOLUTION and isinstance(given, tuple) and len(given) == 2 and all(isinstance(n, int) for n in given)


def option(
    default: Any,
    help: str = "",
    kind: Kind = TEXT,
    *flags: str,
    many: bool = False,
    commas: bool = True,
    argument: bool = False,
) -> Any:
    """Return a field of an `Options` class. A default of `MISSING` makes the option required."""
    return field(default=default, metadata={"option": Option(kind, help, many, commas, flags, argument)})


def group(options: type[Options]) -> Any:
    """Return a field that holds the options of another class. The command line and Python take them next to the others."""
    return field(default_factory=options, metadata={"group": options})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base class. Reads every value by its kind. Raises ValueError, which names the option."""

    def __post_init__(self) -> None:
        for item in fields(self):
            if declared := declaration(item):
                given = getattr(self, item.name)
                try:
                    value = declared.value(item.default if given is None and item.default is not MISSING else given)
                    emptied = value == () and given is not None and item.default != ()
                    if emptied or (value is None and item.default is MISSING):
                        raise ValueError("needs a value")
                    object.__setattr__(self, item.name, value)
                except ValueError as error:
                    name = item.name.upper() if declared.argument else f"--{item.name.replace('_', '-')}"
                    raise ValueError(f"{name}: {error}") from error

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return the options with these values, those of groups included. Raises ValueError for an unknown or missing name."""
        known = dict(flat(cls))
        for name in values:
            if name not in known:
                raise ValueError(f"no option '{name}'{did_you_mean(name, known)} (options: {', '.join(known)})")
        for name, item in known.items():
            if name not in values and item.default is MISSING:
                raise ValueError(f"missing option '{name}'")
        return cls._of(values)

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        own: dict[str, Any] = {}
        for item in fields(cls):
            if "group" in item.metadata:
                own[item.name] = item.metadata["group"]._of(values)
            elif item.name in values:
                own[item.name] = values[item.name]
        return cls(**own)


@dataclass(frozen=True, kw_only=True)
class PluginOptions(Options):
    """The option that loads plugins."""

    plugins: tuple[Path, ...] = option((), "Python file that registers methods.", FILE, "--plugin", many=True, commas=False)


@dataclass(frozen=True, kw_only=True)
class JsonOption(Options):
    """The option that prints JSON."""

    as_json: bool = option(False, "Print JSON.", SWITCH, "--json")


def declaration(item: Field[Any]) -> Option | None:
    """Return the declaration of a field; None for a group."""
    declared: Option | None = item.metadata.get("option")
    return declared


def flat(options: type[Options]) -> Iterator[tuple[str, Field[Any]]]:
    """Yield name and field of every option of a class, in order, those of its groups included."""
    for item in fields(options):
        if "group" in item.metadata:
            yield from flat(item.metadata["group"])
        else:
            yield item.name, item


def command_line(verb: str, options: Options) -> str:
    """Return the command with these options. Options with their default value are omitted."""
    words = ["python", "-m", "bench", verb]
    for item, value in _values(options):
        if value != item.default:
            words += _words(item, value)
    return shlex.join(words)


def _values(options: Options) -> Iterator[tuple[Field[Any], Any]]:
    for item in fields(options):
        value = getattr(options, item.name)
        if isinstance(value, Options):
            yield from _values(value)
        else:
            yield item, value


def _words(item: Field[Any], value: Any) -> list[str]:
    """Return the words that set an option on the command line."""
    declared = declaration(item)
    assert declared is not None
    flag = next(iter(declared.flags), f"--{item.name.replace('_', '-')}")
    if declared.kind is SWITCH:
        return [flag]
    texts = [declared.kind.write(part) for part in value] if declared.many else [declared.kind.write(value)]
    return [flag, ",".join(texts)] if declared.commas else [word for text in texts for word in (flag, text)]
