"""Options: one declaration gives the option of the command line and the parameter in Python."""

import dataclasses
import shlex
from pathlib import Path

import pytest

from bench.axes import AXES, BY_NAME, fields, setting_text, short_text
from bench.cli import COMMANDS, main
from bench.columns import COLUMNS
from bench.keywords import SweepKeywords
from bench.options import Options, command_line, flat
from bench.report.recommend.answer import AXES_QUERIED
from bench.runner.options import RunOptions
from bench.spec import Cell


def run_options(**values):
    return RunOptions.of(**{"methods": "niff", "res": 8, **values})


def test_a_pair_of_numbers_is_one_resolution():
    assert run_options(res=(64, 96)).axes.res == ((64, 96),)
    assert run_options(res=[64, 96]).axes.res == ((64, 64), (96, 96))


def test_none_is_the_default():
    options = run_options(timeout=None, metrics=None, out=None, channels=None)
    assert options == run_options()


@pytest.mark.parametrize("res", ["8,16x24", ["8", "16x24"], [8, (16, 24)], [(8, 8), (16, 24)], "8,16x24,8"])
def test_text_and_python_objects_give_the_same_value(res):
    assert run_options(res=res).axes.res == ((8, 8), (16, 24))


def test_values_of_every_kind():
    options = run_options(
        timeout="5min", mem_limit="1GiB", target="1%", data="farpair[a=1,b=2],digits", overrides="niff.hidden=(8,4)"
    )
    assert options.limits.timeout == 300
    assert options.limits.mem_limit == 2**30
    assert options.timing.target == 0.01
    assert options.training.data == ("farpair[a=1,b=2]", "digits")
    assert options.overrides == ("niff.hidden=(8,4)",), "a comma belongs to the value"
    assert run_options(out=Path("a/b")).out == Path("a/b")


def test_what_is_not_set_is_none_and_the_axis_has_a_default():
    options = run_options()
    assert options.axes.channels is None and options.baseline is None
    assert BY_NAME["channels"].default == (64,)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"chanels": 8}, "no option 'chanels'; did you mean 'channels'?"),
        ({"res": "x"}, "--res: 'x' is not a resolution"),
        ({"res": ()}, "--res: needs a value"),
        ({"timeout": 0}, "--timeout: '0' is not a positive number"),
        ({"rounds": 1}, "--rounds: 1 is too small: at least 2"),
        ({"seed": 2**40}, "is too large"),
        ({"metrics": "latenzy"}, "--metrics: 'latenzy' is not one of"),
        ({"metrics": []}, "--metrics: needs a value"),
        ({"channels": []}, "--channels: needs a value"),
        ({"force": "no"}, "--force: 'no' is neither True nor False"),
        ({"plugins": "absent.py"}, "--plugins: file 'absent.py' does not exist"),
    ],
)
def test_invalid_values_name_the_option(values, sentence):
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?").replace("(", r"\(")):
        run_options(**values)


def test_a_missing_option_is_named():
    with pytest.raises(ValueError, match="missing option 'res'"):
        RunOptions.of(methods="niff")


VALUES = {  # a value other than the default of every option of a sweep
    **{
        "methods": "niff,dwconv*",
        "res": [8, (9, 12)],
        "channels": [4, 8],
        "kernel": 5,
        "batch": 2,
        "dtype": "bf16",
        "device": "cpu",
    },
    **{"mode": "train", "threads": 2, "seed": [0, 3], "level": "model", "backbone": "mixer[depth=1,patch=2]", "metrics": "flops"},
    **{"timer": "hot", "rounds": 3, "max_rounds": 4, "target": 0.015, "overrides": {"niff.hidden": (8, 4)}, "baseline": "none"},
    **{"data": "farpair[distance=6,train=300],digits", "download": True, "seeds": 2, "recipe": "flexnet", "budget": "60s"},
    **{"train_res": 16, "eval_res": [16, 24], "train": {"lr": "0.1,0.2"}, "keep_weights": "last", "save_every": 0.5, "at_once": 2},
    **{"plugins": [__file__], "executor": "inline", "start": "spawn", "malloc": "default", "out": "x y", "timeout": 1234567.0},
    **{"max_cell_time": "100000000h", "mem_limit": "1GiB", "force": True, "retry": "failed", "figures": True},
}


def test_the_command_line_reads_what_it_writes():
    options = RunOptions.of(**VALUES)
    words = shlex.split(command_line("run", options))
    assert words[:4] == ["python", "-m", "bench", "run"]
    assert all(value != item.default for (_, item), value in zip(flat(RunOptions), flat_values(options))), "no default is tested"
    read = main.get_command(None, "run").make_context("run", words[4:]).params
    assert RunOptions.of(**{name: value for name, value in read.items() if value is not None and name != "dry_run"}) == options


def test_the_keywords_of_python_are_the_options():
    names = {name for name, _ in flat(RunOptions)} - {"methods", "res", "metrics", "out"}
    assert set(SweepKeywords.__annotations__) == names


def flat_values(options):
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        yield from flat_values(value) if isinstance(value, Options) else [value]


def test_every_option_of_a_class_is_an_option_of_the_command():
    command = main.get_command(None, "run")
    assert {param.name for param in command.params} == {name for name, _ in flat(RunOptions)} | {"dry_run"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_shows_the_first_line_of_their_help(name):
    command = main.get_command(None, name)
    first = " ".join(command.help.split("\n\n")[0].split())
    assert first.startswith(COMMANDS[name].rstrip("."))


# --- axes ---


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_an_axis_is_known_everywhere_by_its_entry(axis):
    names = {field.name for field in dataclasses.fields(Cell)}
    assert names >= set(axis.columns), "a field of a cell"
    assert {column.name for column in COLUMNS} >= set(axis.columns), "a column"
    params = {command: {param.name for param in main.get_command(None, command).params} for command in ("run", "ab", "recommend")}
    assert axis.name in params["run"], "an option of a sweep"
    if axis.name != "kernel":  # an option of a method's label there
        assert axis.name in params["ab"]
    if axis.name not in ("kernel", "seed"):
        assert axis in AXES_QUERIED and axis.name in params["recommend"]


def test_texts_of_a_setting():
    gpu = fields({"device": "cuda:0", "res": (8, 12), "seed": 3, "dtype": "bf16"}) | {"level": "op", "timer": "cold"}
    assert setting_text(gpu) == "cuda:0, timed cold, bf16, inference, batch 1, 64 channels, 8x12 px, seed 3"
    assert short_text(gpu) == "cuda:0 cold bf16 infer b1 c64 8x12px seed3"
    assert setting_text({"channels": 0, "level": "model"}) == "networks", "the data set decides"
