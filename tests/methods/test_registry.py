"""The registry and its catalogue: names, settings, plugins, and the cost of imports."""

import re
import subprocess
import sys
import textwrap

import pytest
from torch import nn

import methods
from methods import Entry, UnknownMethod, registry
from methods.catalogue import describe_file
from tests.paths import ROOT

SHIPPED = [entry for file in sorted((ROOT / "methods").glob("*.py")) for entry in describe_file(file)]

PLUGIN = '''
from torch import nn
from methods import register

@register("{name}_wide", width=3)
@register("{name}", paper="https://example.org")
class Plugin(nn.Module):
    """A plugin."""

    def __init__(self, channels, resolution, width=1):
        super().__init__()
        self.width = width
'''


@pytest.fixture
def own(monkeypatch):
    """Restrict the registry to the shipped methods during a test."""
    monkeypatch.setattr(registry, "_REGISTRY", shipped())
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    return registry


def shipped():
    """Return the loaded methods that are not plugins, including plugins of other tests."""
    registry.load()
    return {name: method for name, method in registry._REGISTRY.items() if method.cls.__module__.startswith("methods.")}


def plain():
    return type("Plain", (nn.Module,), {"__init__": lambda self, channels, resolution, width=1: None})


def run(program: str) -> None:
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_duplicate_name_raises(own):
    methods.register("twice")(plain())
    with pytest.raises(ValueError, match="method 'twice' is already registered by Plain"):
        methods.register("twice")(plain())


def test_register_returns_the_class_and_keeps_the_settings(own):
    cls = plain()
    assert methods.register("once", paper="https://example.org", width=4)(cls) is cls
    method = methods.get("once")
    assert (method.cls, method.paper, method.hparams) == (cls, "https://example.org", {"width": 4})


def test_unknown_name_error_gives_the_nearest_name_and_the_list():
    with pytest.raises(UnknownMethod) as caught:
        methods.get("dwconv31_drect")
    message = str(caught.value)
    assert message.startswith("unknown method 'dwconv31_drect'; did you mean 'dwconv31_direct'? (known: ")
    assert all(name in message for name in methods.names())
    assert isinstance(caught.value, KeyError)


def test_unknown_name_without_similar_name_has_no_hint():
    with pytest.raises(UnknownMethod, match=r"^unknown method 'zzzzzzzz' \(known: "):
        methods.get("zzzzzzzz")


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_parsed_catalogue_equals_the_loaded_methods(entry):
    assert methods.get(entry.name).entry == entry
    assert entry.summary and len(entry.summary) <= 110
    assert entry.paper.startswith("https://")


def test_the_catalogue_is_complete(own):
    names = [entry.name for entry in SHIPPED]
    assert sorted(shipped()) == sorted(names)
    assert own.catalogue() == SHIPPED and own.names() == names


def test_takes_and_needs_a_kernel():
    entries = {entry.name: entry for entry in methods.catalogue()}
    flags = {name: (entries[name].takes_kernel, entries[name].needs_kernel) for name in ("conv", "conv3", "dwconv", "shared_basis")}
    assert flags == {"conv": (True, True), "conv3": (False, False), "dwconv": (True, True), "shared_basis": (True, False)}
    assert not Entry("x", "", "", {}, {"width": 1}).takes_kernel


def test_build_passes_kernel_and_overrides():
    assert methods.get("dwconv7").build(4, 8).weight.shape == (4, 1, 7, 7)
    assert methods.get("dwconv").build(4, 8, kernel=9).weight.shape == (4, 1, 9, 9)
    assert methods.get("dwconv7").build(4, 8, kernel_size=5, backend="fft").backend == "fft"
    with pytest.raises(TypeError, match="kernel_size"):
        methods.get("dwconv").build(4, 8)


def test_create_builds_an_operator_with_options():
    module = methods.create("niff", channels=4, resolution=8, hidden=(6, 3), mode="split")
    assert (type(module), module.channels, module.resolution, module.mode) == (methods.get("niff").cls, 4, (8, 8), "split")
    assert methods.create("dwconv", 4, (8, 6), kernel_size=9).weight.shape == (4, 1, 9, 9)
    assert methods.create("dwconv7", 4, 8, backend="fft").backend == "fft"
    assert methods.create("shared_basis", 4, 8, kernel_size=5).unique.shape[-1] == 5
    assert methods.create("conv3", channels=4, resolution=8, out_channels=2).kernel().shape == (2, 4, 3, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("niff", {"hiden": 8}, "method 'niff' has no option 'hiden'; did you mean 'hidden'? (options: hidden, mode, "),
        ("niff", {"kernel_size": 3}, "method 'niff' has no option 'kernel_size' (options: hidden"),
        (
            "dwconv",
            {"kernel": 3},
            "method 'dwconv' has no option 'kernel'; did you mean 'kernel_size'? (options: ",
        ),
        ("dwconv7", {"kernel_size": 5}, "method 'dwconv7' fixes kernel_size = 7 (options: backend)"),
        ("niff_full", {"mode": "split"}, "method 'niff_full' fixes mode = 'full' (options: "),
        ("dwconv", {}, "method 'dwconv' needs the option kernel_size (options: kernel_size, backend)"),
    ],
)
def test_create_rejects_options(name, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        methods.create(name, 4, 8, **options)


def test_create_without_any_option(own):
    methods.register("bare")(type("Bare", (nn.Module,), {"__init__": lambda self, channels, resolution: None}))
    with pytest.raises(ValueError, match=r"method 'bare' has no option 'width' \(options: none\)"):
        methods.create("bare", 4, 8, width=2)


def test_create_raises_what_the_name_and_the_operator_raise():
    with pytest.raises(methods.Unsupported, match="kernel_size must be a positive odd number, not 4"):
        methods.create("dwconv", 4, 8, kernel_size=4)
    with pytest.raises(UnknownMethod, match="unknown method 'nif'; did you mean 'niff'"):
        methods.create("nif", 4, 8)


def test_list_returns_names_that_match():
    assert methods.list() == methods.names()
    assert methods.list("niff*") == ["niff", "niff_big", "niff_split", "niff_full"]
    assert methods.list("dwconv?") == ["dwconv3", "dwconv7"]
    assert methods.list("NIFF") == []


def test_plugin_file(own, tmp_path):
    path = tmp_path / "my_method.py"
    path.write_text(PLUGIN.format(name="mine"))
    assert own.load_file(path) == ["mine", "mine_wide"]
    assert own.load_file(str(path)) == ["mine", "mine_wide"], "loading the same file again must change nothing"
    assert methods.get("mine_wide").build(4, 8).width == 3
    entry = next(entry for entry in own.catalogue() if entry.name == "mine_wide")
    assert entry == Entry("mine_wide", "A plugin.", "", {"width": 3}, {"width": 1})
    assert describe_file(path) == [e for e in own.catalogue() if e.name.startswith("mine")]


def test_two_plugin_files_of_one_name(own, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(PLUGIN.format(name=f"from_{folder}"))
        assert own.load_file(tmp_path / folder / "same.py") == [f"from_{folder}", f"from_{folder}_wide"]


def test_plugin_that_raises_registers_nothing(own, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(PLUGIN.format(name="broken") + "\nraise ZeroDivisionError('no luck')\n")
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError, match="no luck"):
        own.load_file(path)
    assert "broken" not in own.names()
    assert not [name for name in set(sys.modules) - before if "broken" in name]
    path.write_text(PLUGIN.format(name="broken"))
    assert own.load_file(path) == ["broken", "broken_wide"]


def test_plugin_with_a_registered_name(own, tmp_path):
    path = tmp_path / "greedy.py"
    path.write_text(PLUGIN.format(name="fine") + PLUGIN.format(name="conv3"))
    with pytest.raises(ValueError, match="method 'conv3' is already registered by Conv"):
        own.load_file(path)
    assert methods.get("conv3").cls.__name__ == "Conv"
    assert "fine" not in own.names()


def test_plugin_that_is_not_a_file(own, tmp_path):
    with pytest.raises(FileNotFoundError):
        own.load_file(tmp_path / "absent.py")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ImportError, match="is not a Python file"):
        own.load_file(tmp_path / "notes.txt")


def test_entry_point(own, monkeypatch):
    class Point:
        def load(self):
            if "installed" not in own._REGISTRY:
                methods.register("installed")(plain())

    monkeypatch.setattr(own, "entry_points", lambda group: [Point()] if group == "bench.methods" else [])
    assert "installed" in own.names()
    assert methods.get("installed").cls.__name__ == "Plain"


def test_describe_reads_constants_keywords_and_inherited_constructors(tmp_path):
    path = tmp_path / "family.py"
    path.write_text(
        textwrap.dedent('''
        PAPER = "https://example.org"
        SIZE = 7

        class Base:
            def __init__(self, channels, resolution, kernel_size, width=SIZE, *, mode="a", depth): ...

        @register("outer", paper=PAPER, kernel_size=SIZE)
        @register("inner", pair=(1, 2))
        class Child(Base):
            """First line.

            More.
            """

        @other("nothing")
        class Unregistered: ...

        @register("bare")
        class Bare: ...
        ''')
    )
    options, required = {"width": 7, "mode": "a"}, ("kernel_size", "depth")
    assert describe_file(path) == [
        Entry("inner", "First line.", "", {"pair": (1, 2)}, options, required),
        Entry("outer", "First line.", "https://example.org", {"kernel_size": 7}, options, required),
        Entry("bare", "", "", {}, {}),
    ]


def test_describe_rejects_non_literals(tmp_path):
    path = tmp_path / "computed.py"
    path.write_text("@register('x', size=2 * n)\nclass X: ...\n")
    with pytest.raises(ValueError, match="malformed"):
        describe_file(path)


def test_the_catalogue_does_not_import_torch():
    run("""
        import sys
        import methods
        assert len(methods.catalogue()) > 5 and "dwconv31" in methods.names() and methods.list("niff*")
        heavy = {"torch", "numpy", "pandas"} & set(sys.modules)
        assert not heavy, heavy
    """)


def test_importing_the_methods_runs_no_tensor_operation_and_no_cuda():
    run("""
        import torch
        from torch.utils._python_dispatch import TorchDispatchMode
        from methods import registry

        class Forbid(TorchDispatchMode):
            def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
                raise AssertionError(f"{operation} ran while the methods were imported")

        def forbidden(make):
            try:
                with Forbid():
                    make()
            except AssertionError:
                return True

        assert forbidden(lambda: torch.zeros(1)) and forbidden(lambda: torch.tensor([1.0]) + 1), "the guard does not guard"
        state = torch.get_rng_state()
        with Forbid():
            registry.load()
        assert len(registry._REGISTRY) > 5
        assert torch.equal(torch.get_rng_state(), state), "random numbers were consumed"
        assert not torch.cuda.is_initialized(), "CUDA was initialised"
    """)
