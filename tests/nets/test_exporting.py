"""Export of networks and of every method: the program gives the output of the network, or an error names the layer."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from torch import nn

import methods
from bench.nets import exporting
from bench.nets.exporting import export
from bench.nets.swapping import swap
from methods import Unsupported
from methods.contract import relative_error
from methods.registry import shipped
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (yes|no) \| (yes|no) \| (.*) \|$", PAGE, re.MULTILINE)
TABLE = {name: (pt2, onnx) for pt2, onnx, names in ROWS for name in re.findall(r"`(\w+)`", names)}  # as documented
REASONS = dict(re.findall(r"^- `(\w+)`: (.*)\.$", PAGE, re.MULTILINE))

NAMES = [entry.name for entry in shipped()]


def run_onnx(path, images):
    reference = pytest.importorskip("onnx.reference")
    session = reference.ReferenceEvaluator(str(path))
    (output,) = session.run(None, {session.input_names[0]: images.numpy()})
    return torch.from_numpy(output)


def run_pt2(path, images):
    return torch.export.load(path).module()(images)


def random_images(channels, size):
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


def build(name, **options):
    torch.manual_seed(0)
    sizes = {"kernel_size": 5} if methods.get(name).entry.needs_kernel else {}
    return methods.create(name, 8, 16, **sizes, **options)


@torch.no_grad()
def check(network, images, path):
    """Export, run, and compare."""
    expected = network.eval()(images)
    assert export(network, images, path) == path
    run = run_onnx if path.suffix == ".onnx" else run_pt2
    assert relative_error(run(path, images), expected) < 1e-4


def test_the_table_lists_every_method():
    assert {*TABLE} == {*NAMES}


@pytest.mark.parametrize("column", [0, 1], ids=["pt2", "onnx"])
@pytest.mark.parametrize("name", NAMES)
def test_export_of_a_method_as_documented(name, column, tmp_path):
    path = tmp_path / ("operator.pt2", "operator.onnx")[column]
    documented = TABLE[name][column]
    if documented == "yes":
        check(build(name), random_images(8, 16), path)
        return
    module = build(name)
    with pytest.raises(Unsupported) as caught:
        export(module, random_images(8, 16), path)
    assert documented == "no"
    assert str(caught.value) == f"{type(module).__name__} cannot be exported to {path.suffix}: {REASONS[name]}"
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "method", "suffix"), [("test_resnet", "niff", ".onnx"), ("test_convnext", "global_filter", ".pt2")]
)
def test_export_of_a_network(name, method, suffix, tmp_path):
    torch.manual_seed(0)
    network, _ = swap(timm.create_model(name, num_classes=5), method, resolution=32)
    check(network, random_images(3, 32), tmp_path / f"network{suffix}")


def test_an_error_names_the_layer(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(build("dwconv3"), build("niff_full")))
    with pytest.raises(Unsupported) as caught:
        export(network, random_images(3, 16), tmp_path / "network.onnx")
    assert str(caught.value) == f"1.1 (Niff) cannot be exported to .onnx: {REASONS['niff_full']}"


def test_flexconv_in_the_fourier_form(tmp_path):
    with pytest.raises(Unsupported, match=r"FlexConv cannot be exported to \.onnx: .*aten\.bmm of complex numbers"):
        export(build("flexconv", backend="fft"), random_images(8, 16), tmp_path / "a.onnx")
    check(build("flexconv", backend="fft"), random_images(8, 16), tmp_path / "a.pt2")


def test_kernels_are_constants(tmp_path):
    """The only transforms of an exported NIFF are those of the map, and its MLPs do not run."""
    export(build("niff"), random_images(8, 16), tmp_path / "a.pt2")
    nodes = torch.export.load(tmp_path / "a.pt2").graph.nodes
    called = [str(node.target) for node in nodes if node.op == "call_function"]
    assert sum("fft" in target for target in called) == 2
    assert not [target for target in called if re.search(r"linear|mm|sin", target)]


def test_the_network_is_unchanged(tmp_path):
    network = nn.Sequential(build("niff"), nn.BatchNorm2d(8)).train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    export(network, random_images(8, 16), tmp_path / "a.pt2")
    assert network.training and not network[0]._frozen and not network[0]._forward_pre_hooks
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


class Declared(nn.Identity):
    not_exportable = "it reads the weather"


class DataDependent(nn.Module):
    def forward(self, x):
        return x if float(x.detach().sum()) > 0 else -x


class Forgetful(nn.Module):
    """Gives another output in every call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


def test_a_declared_reason_is_raised(tmp_path):
    with pytest.raises(Unsupported, match=r"^1 \(Declared\) cannot be exported: it reads the weather$"):
        export(nn.Sequential(nn.Identity(), Declared()), random_images(3, 4), tmp_path / "a.pt2")


def test_an_error_outside_of_the_operators_names_the_network(tmp_path):
    with pytest.raises(Unsupported, match=r"^Sequential cannot be exported to \.pt2: \w+: "):
        export(nn.Sequential(build("dwconv3"), DataDependent()), random_images(8, 4), tmp_path / "a.pt2")


def test_another_output_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="the output of the program differs by"):
        export(Forgetful(), random_images(3, 4), tmp_path / "a.pt2")
    assert not (tmp_path / "a.pt2").exists()


def test_other_suffixes_and_missing_packages(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"the file must end in \.pt2 or \.onnx, not 'network\.pth'"):
        export(nn.Identity(), random_images(3, 4), tmp_path / "network.pth")
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"ONNX needs onnx and onnxscript: pip install 'large-kernel-bench\[onnx\]'"):
        export(nn.Identity(), random_images(3, 4), tmp_path / "network.onnx")
    assert export(nn.Identity(), random_images(3, 4), tmp_path / "network.pt2").exists()
