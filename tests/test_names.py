"""One grammar for methods, networks and data sets: what is parsed, printed and selected."""

import pytest

import methods
from bench.axes import setting_text
from bench.names import Name, cell_of, overrides, parse, select, split
from bench.runner.networks import check
from bench.spec import ORIGINAL, Cell
from methods.registry import did_you_mean

KNOWN = {entry.name: entry for entry in methods.catalogue()}
WHERE = {"height": 8, "width": 8}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("niff", Name("niff")),
        (" niff [ hidden = 16 ] ", Name("niff", (("hidden", 16),))),
        ("mixer[depth=2,]", Name("mixer", (("depth", (2,)),))),
        ("niff[hidden=(16,)]", Name("niff", (("hidden", (16,)),))),
        ("niff[hidden=(16,8)]", Name("niff", (("hidden", (16, 8)),))),
        ("niff[hidden=16,8,boundary=zero]", Name("niff", (("boundary", "zero"), ("hidden", (16, 8))))),
        ("flexnet3[width=(4,8)]", Name("flexnet3", (("width", (4, 8)),))),
        ("flexnet3[width=[4,8]]", Name("flexnet3", (("width", (4, 8)),))),
        ("resnet18[pretrained=True,where=dense]", Name("resnet18", (("pretrained", True), ("where", "dense")))),
        ("folder:/data/my set[res=0.5]", Name("folder:/data/my set", (("res", 0.5),))),
    ],
)
def test_one_grammar_for_all_names(text, name):
    assert parse(text) == name
    assert parse(str(name)) == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not NAME"),
        ("niff[hidden=16", "is not NAME"),
        ("[hidden=16]", "is not NAME"),
        ("niff[]", "'' is not OPTION=VALUE"),
        ("niff[16]", "'16' is not OPTION=VALUE"),
        ("niff[hidden=]", "'hidden=' is not OPTION=VALUE"),
        ("niff[hidden=8,hidden=16]", "hidden is given twice"),
        ("niff[hidden=1e999]", "is not a finite number"),
        ("niff[hidden={1:2}]", "is not a finite number"),
    ],
)
def test_other_texts_are_errors(text, reason):
    with pytest.raises(ValueError, match=r"is not|twice") as error:
        parse(text)
    assert reason in str(error.value)


def test_brackets_protect_the_commas_of_a_list():
    assert split("niff[hidden=16,8], dwconv7,flexnet3[width=(4,8)]") == ["niff[hidden=16,8]", "dwconv7", "flexnet3[width=(4,8)]"]


def test_options_of_the_command_line_are_parsed_like_those_of_a_label():
    label = cell_of("niff[hidden=16,8,boundary=zero]", KNOWN, **WHERE)
    assert label.params == overrides(["niff.boundary=zero", "niff.hidden=16,8"], KNOWN)["niff"]
    assert cell_of(label.label, KNOWN, **WHERE) == label


def test_a_label_of_a_network_names_the_method_inside():
    inside = cell_of("flexnet3[width=(4,8)] + niff[hidden=16]", KNOWN, level="model", **WHERE)
    assert (inside.network, inside.method, inside.params) == ("flexnet3[width=(4, 8)]", "niff", (("hidden", 16),))
    assert cell_of("resnet18", KNOWN, level="model", **WHERE).method == ORIGINAL


def test_globs_leave_out_what_needs_a_kernel_size():
    assert "dwconv" not in select(["dwconv*"], KNOWN, kernel=False)
    assert {"dwconv", "dwconv7"} <= set(select(["dwconv*"], KNOWN, kernel=True))
    assert select(["all"], KNOWN, kernel=True) == tuple(KNOWN)
    with pytest.raises(ValueError, match="no method matches 'x\\*'"):
        select(["x*"], KNOWN, kernel=False)
    with pytest.raises(ValueError, match="'dwconv' needs a kernel size: give --kernel"):
        select(["dwconv"], KNOWN, kernel=False)


def test_a_close_name_is_suggested():
    assert did_you_mean("nif", KNOWN) == "; did you mean 'niff'?"
    assert did_you_mean("zzz", KNOWN) == ""


def test_a_network_option_of_the_wrong_type_is_a_clear_error():
    with pytest.raises(ValueError, match=r"network 'flexnet3\[width=\(4, 8\)\]' cannot be built: TypeError"):
        check([str(parse("flexnet3[width=(4,8)]"))], (), (16, 16))


@pytest.mark.parametrize(
    ("label", "params", "kernel"),
    [
        ("niff", (), None),
        (" niff [ hidden = 16 ] ", (("hidden", 16),), None),
        ("niff[hidden=(16,8),boundary=zero]", (("boundary", "zero"), ("hidden", (16, 8))), None),
        ("niff[hidden=16,8,mode=split]", (("hidden", (16, 8)), ("mode", "split")), None),
        ("niff[hidden=16,]", (("hidden", (16,)),), None),
        ("dwconv[kernel=9]", (), 9),
        ("dwconv[kernel=9, backend=fft]", (("backend", "fft"),), 9),
    ],
)
def test_a_label_is_a_cell(label, params, kernel):
    cell = cell_of(label, KNOWN, **WHERE)
    assert (cell.params, cell.kernel) == (params, kernel)
    assert cell_of(cell.label, KNOWN, **WHERE) == cell, "a label parses back to its cell"


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("nif", "unknown method 'nif'; did you mean 'niff'"),
        ("niff[hiden=1]", "did you mean 'hidden'"),
        ("niff[kernel=3]", "method 'niff' takes no kernel size"),
        ("dwconv", "write dwconv[kernel=7]"),
        ("dwconv[kernel=0]", "kernel=0 is not a positive whole number"),
        ("dwconv[kernel_size=3]", "a kernel size is written kernel=3"),
        ("dwconv7[kernel=3]", "method 'dwconv7' takes no kernel size"),
    ],
)
def test_a_bad_label_is_one_sentence(label, sentence):
    with pytest.raises(ValueError, match=r".") as error:
        cell_of(label, KNOWN, **WHERE)
    assert sentence in str(error.value)


def test_a_setting_as_text():
    assert setting_text(vars(Cell("x", 8, 9))) == "cpu, 1 thread, fp32, inference, batch 1, 64 channels, 8x9 px"
    cell = Cell("x", 8, 8, channels=3, level="model", device="cuda:0", mode="train", seed=3, threads=2)
    assert (
        setting_text(vars(cell))
        == "cuda:0, fp32, training step, batch 1, networks with 1000 classes, 3 image channels, 8 px, seed 3"
    )
