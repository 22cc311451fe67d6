"""The hooks of methods: readers, types, and that nothing else reads them."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import methods
from methods import contract, hooks
from methods.hook_types import ATTRIBUTES, CALLS, mistakes
from tests.paths import ROOT

DOCS = ROOT / "docs"
READERS = ("hasattr", "getattr")
SOURCES = [path for package in ("bench", "methods") for path in sorted((ROOT / package).rglob("*.py"))]


def literal_reads(source):
    """Return the literal names that hasattr() and getattr() read in a source."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    arguments = [call.args[1] for call in calls if call.func.id in READERS and len(call.args) > 1]
    return [argument.value for argument in arguments if isinstance(argument, ast.Constant)]


def test_the_search_finds_reads():
    assert literal_reads("hasattr(x, 'kernel') and f(getattr(x.y, 'ways', ())) or getattr(x, name)") == ["kernel", "ways"]
    assert set(literal_reads((ROOT / "methods" / "hooks.py").read_text())) >= {"freeze", "kernel", "penalty", "replacements"}


def test_only_one_file_reads_hooks():
    reads = {str(path.relative_to(ROOT)): {*literal_reads(path.read_text())} & {*hooks.NAMES} for path in SOURCES}
    assert {file for file, names in reads.items() if names} == {"methods/hooks.py"}


def test_importing_the_hooks_does_not_import_torch():
    program = "import sys, methods.hooks, methods.hook_types; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_every_hook_has_a_type_check():
    assert sorted(hooks.NAMES) == sorted([*ATTRIBUTES, *CALLS])
    assert {*CALLS} == {name for name in hooks.NAMES if callable(vars(hooks.Hooks).get(name))}


@pytest.fixture(scope="module")
def generator():
    """Return docs/generate/sources.py as a module."""
    spec = importlib.util.spec_from_file_location("generator_of_pages", DOCS / "generate" / "sources.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_documented_hooks_are_the_declared_ones(generator):
    table = {hook.name: hook for hook in generator.hooks()}
    assert {*table} == {*hooks.NAMES}
    assert table["at_resolution"].call == "at_resolution(resolution, way)"
    assert table["cached"].call == "cached(make, *key)"
    assert table["penalty"].purpose == "return a scalar that is added to the training loss"
    assert all(hook.text.endswith(".") for hook in table.values())


def test_the_guide_names_no_other_hook(generator):
    text = (DOCS / "adding-a-method.md").read_text(encoding="utf-8")
    assert "{include} reference/hooks.md" in text
    section = text.split("## Hooks\n")[1].split("\n## ")[0]
    words = set(re.findall(r"`([a-z_]+)(?:\(.*?\))?`", section))
    assert words - {*hooks.NAMES} == {"out_channels", "hooks"}


def test_the_pages_of_methods_find_inherited_hooks(generator):
    def defined(name):
        _, node = generator.find(name)
        return {hook for hook in hooks.NAMES if generator.defines(node, hook)}

    common = {"freeze", "cached", "kernel", "flops", "load_official"}
    assert defined("niff") == common | {"inert"}
    assert defined("flexconv") == common | {"target", "ways", "lr_scale", "mixes_channels", "penalty", "at_resolution"}
    assert defined("conv3") == common - {"freeze", "cached"} | {"mixes_channels"}


def test_readers_without_hooks():
    module = nn.Linear(2, 2)
    assert hooks.freeze(module) is module
    assert not any(read(module) for read in (hooks.can_freeze, hooks.has_cache, hooks.has_kernel, hooks.loads_official))
    assert not any(read(module) for read in (hooks.lr_scale_of, hooks.ways_of, hooks.inert_of, hooks.not_exportable_of))
    assert hooks.kernel_of(module) is hooks.penalty_of(module) is hooks.replacements_of(module) is None
    assert hooks.mixes_channels(module) is False and hooks.no_weight_decay_of(module) == set()


def test_readers_with_hooks():
    module = methods.get("flexconv").build(2, 8, antialias=0.1)
    assert hooks.can_freeze(module) and hooks.has_cache(module) and hooks.loads_official(module)
    assert torch.equal(hooks.kernel_of(module), module.kernel())
    assert hooks.penalty_of(module).ndim == 0 and hooks.penalty_of(nn.Sequential(module)) is None
    assert (hooks.ways_of(module), hooks.lr_scale_of(module)) == (("rescaled",), {"mask": 0.1})
    assert hooks.mixes_channels(module) is True
    assert hooks.inert_of(methods.get("niff").build(2, 8)) == ("imag.last.bias",)
    network = SimpleNamespace(no_weight_decay=lambda: {"a"}, replacements="report")
    assert (hooks.no_weight_decay_of(network), hooks.replacements_of(network)) == ({"a"}, "report")


def test_an_attribute_named_kernel_is_no_hook():
    module = nn.Linear(2, 2)
    module.kernel = (3, 3)
    assert not hooks.has_kernel(module) and hooks.kernel_of(module) is None


def test_freeze_of_a_network_freezes_the_outermost_operators():
    network = nn.Sequential(nn.Sequential(methods.get("niff").build(2, 8)), nn.ReLU())
    assert hooks.freeze(network) is network
    assert network[0][0]._frozen

    class Replacing(nn.Module):
        def freeze(self):
            return nn.Identity()

    network = nn.Sequential(Replacing(), nn.Sequential(Replacing()))
    hooks.freeze(network)
    assert type(network[0]) is type(network[1][0]) is nn.Identity


def test_backend_and_target_are_set_in_every_operator():
    network = nn.Sequential(methods.get("dwconv7").build(2, 8), nn.ReLU(), methods.get("flexconv").build(2, 8))
    hooks.set_backend(network, "direct")
    hooks.set_target(network, "cuda")
    assert {(module.backend, module.target) for module in (network[0], network[2])} == {("direct", "cuda")}
    assert not hasattr(network[1], "backend") and not hasattr(network[1], "target")


def operator(**members):
    """Return a module whose class has these members."""
    return type("Operator", (nn.Module,), members)()


def no_arguments(self):
    return None


def adapt(self, resolution, way="a"):
    return self


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"ways": "bicubic", "at_resolution": adapt},
            "ways must be a sequence of strings, not 'bicubic'",
        ),
        (
            {"ways": ("a", 1), "at_resolution": adapt},
            r"ways must be a sequence of strings, not \('a', 1\)",
        ),
        ({"lr_scale": [("mask", 0.1)]}, "lr_scale must be a mapping from strings to numbers"),
        ({"lr_scale": {"mask": "0.1"}}, "lr_scale must be a mapping from strings to numbers"),
        ({"mixes_channels": no_arguments}, "mixes_channels must be True or False"),
        ({"inert": "bias"}, "inert must be a sequence of strings, not 'bias'"),
        ({"not_exportable": True}, "not_exportable must be a string, not True"),
        ({"backend": None}, "backend must be a string"),
        ({"target": 0}, "target must be a device type or None"),
        ({"freeze": True}, r"freeze must be a method that is called as freeze\(\)"),
        ({"kernel": (3, 3)}, r"kernel must be a method that is called as kernel\(\)"),
        ({"flops": no_arguments}, r"flops must be a method that is called as flops\(height, width\)"),
        ({"penalty": lambda self, scale: 0}, r"penalty must be a method that is called as penalty\(\)"),
        ({"load_official": no_arguments}, r"called as load_official\(state\)"),
        ({"ways": ("a",), "at_resolution": lambda self, size: self}, r"called as at_resolution\(resolution, way\)"),
        ({"ways": ("a",)}, "ways and at_resolution belong together"),
        ({"at_resolution": adapt}, "ways and at_resolution belong together"),
        ({"mix_channels": True}, "mix_channels is not a hook; did you mean mixes_channels"),
        ({"lr_scales": {}}, "lr_scales is not a hook; did you mean lr_scale"),
    ],
)
def test_mistakes_are_named(members, message):
    (mistake,) = mistakes(operator(**members))
    assert re.search(message, mistake)
    with pytest.raises(AssertionError, match=message):
        contract.hooks(SimpleNamespace(build=lambda *args: operator(**members), entry=SimpleNamespace(needs_kernel=False)))


def test_other_names_are_no_mistakes():
    valid = {"kernels": (), "resolution": (8, 8), "weights": 1, "ways": [], "at_resolution": adapt}
    assert mistakes(operator(**valid)) == []
    assert mistakes(nn.Conv2d(1, 1, 1)) == []
