"""Tests of the effective receptive field against closed forms: known maps, linear networks, limits, and end to end."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import methods
from bench.analysis.network import Network, by_name, from_weights
from bench.analysis.receptive_field import analysis
from bench.analysis.receptive_field.figures import Comparison, method_and_host, styles_of
from bench.analysis.receptive_field.gradient import mean_abs_gradient
from bench.analysis.receptive_field.squares import smallest_area, squares
from bench.analysis.receptive_field.support import support
from bench.cli import main
from bench.data import DataSpec, digits
from bench.plan import accuracy_cell
from bench.report import style
from bench.spec import ORIGINAL, Cell, Job, Training
from bench.tables.reach import receptive_field
from bench.training.weights import SUFFIX, stem
from bench.workload.build import WrongResult
from methods import Unsupported

TINY = "mixer[depth=1,width=4]"
IMAGES = torch.randn(5, 3, 15, 15, generator=torch.Generator().manual_seed(0))


def linear(*kernels):
    """Return a sequence of depthwise convolutions with zero padding and no bias, and a head."""
    layers = []
    for kernel in kernels:
        conv = nn.Conv2d(3, 3, kernel.shape, padding=(kernel.shape[0] // 2, kernel.shape[1] // 2), groups=3, bias=False)
        conv.weight.data.copy_(kernel.expand_as(conv.weight))
        layers.append(conv)
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()


def mean3():
    return torch.full((3, 3), 1 / 9)


def test_field_of_one_averaging_convolution_is_its_kernel():
    scores, pixel = mean_abs_gradient(linear(mean3()), IMAGES)
    assert (pixel.layer, pixel.size, pixel.centre) == ("0", (15, 15), (7, 7))
    expected = np.zeros((15, 15))
    expected[6:9, 6:9] = 1 / 9
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    curve = squares(scores, pixel.centre)
    assert curve.mass[:3] == pytest.approx([1 / 9, 1, 1])
    assert [int(curve.side[curve.first(share)]) for share in (0.1, 0.2, 0.5, 0.99)] == [1, 3, 3, 3]
    assert curve.area[1] == pytest.approx(9 / 225)
    assert [smallest_area(scores, share) * 225 for share in (0.2, 0.5, 0.99)] == pytest.approx([2, 5, 9])


def test_field_of_two_averaging_convolutions_is_a_triangle():
    scores, pixel = mean_abs_gradient(linear(mean3(), mean3()), IMAGES)
    triangle = np.array([1, 2, 3, 2, 1]) / 9
    np.testing.assert_allclose(scores[5:10, 5:10], np.outer(triangle, triangle), rtol=1e-5)
    assert scores.sum() == pytest.approx(1)
    curve = squares(scores, pixel.centre)
    assert curve.mass[:3] == pytest.approx([1 / 9, 49 / 81, 1])
    assert [int(curve.side[curve.first(share)]) for share in (0.2, 0.5, 0.7, 0.99)] == [3, 3, 5, 5]


def test_gradient_of_a_linear_network_is_the_absolute_composed_kernel():
    draw = torch.Generator().manual_seed(1)
    first, second = torch.randn(5, 3, generator=draw), torch.randn(3, 7, generator=draw)
    scores, _ = mean_abs_gradient(linear(first, second), IMAGES)
    composed = np.zeros((7, 9))
    for row, column in np.ndindex(3, 7):
        composed[row : row + 5, column : column + 3] += second[row, column].item() * first.numpy()
    expected = np.zeros((15, 15))
    expected[4:11, 3:12] = np.abs(composed)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_absolute_value_is_taken_before_the_mean_over_images():
    """y = x^2 / 2 has the gradient x, and those of two opposite images do not cancel."""

    class Square(nn.Module):
        def forward(self, x):
            return x.square() / 2

    network = nn.Sequential(Square(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    scores, _ = mean_abs_gradient(network, torch.cat((IMAGES, -IMAGES)))
    assert scores[7, 7] == pytest.approx(float(IMAGES[:, :, 7, 7].abs().mean()), rel=1e-6)
    assert np.count_nonzero(scores) == 1


def test_squares_are_clipped_at_the_border():
    curve = squares(np.ones((4, 6)), (2, 3))
    assert curve.side.tolist() == [1, 3, 5, 7]
    assert (curve.area * 24).tolist() == pytest.approx([1, 9, 4 * 5, 24])
    assert curve.mass.tolist() == pytest.approx(curve.area.tolist())
    between = squares(np.ones((4, 6)), (1.5, 2.5))
    assert between.side.tolist() == [2, 4, 6] and (between.area * 24).tolist() == pytest.approx([4, 16, 24])
    mixed = squares(np.ones((4, 6)), (2, 2.5))
    assert (mixed.area * 24).tolist() == pytest.approx([2, 12, 24])


def test_curve_increases_to_one_and_smallest_areas_do_not_exceed_it():
    scores = np.random.default_rng(0).random((12, 12))
    curve = squares(scores, (6, 6))
    assert (np.diff(curve.mass) > 0).all() and curve.mass[-1] == curve.area[-1] == 1
    assert smallest_area(scores, 1.0) == 1 and smallest_area(np.eye(4), 1.0) == pytest.approx(1 / 4)
    for share in (0.2, 0.5, 0.99):
        assert smallest_area(scores, share) <= curve.area[curve.first(share)]


@pytest.mark.parametrize(("patch", "method"), [(1, "dwconv3"), (2, "dwconv3"), (1, "conv3"), (1, "dwconv7"), (2, "dwconv7")])
def test_limit_agrees_with_the_closed_form(patch, method):
    network = network_by_name(f"mixer[depth=2,patch={patch},width=4]", method, 32)
    side = receptive_field(network.cell)
    assert support(network.untrained_module(), (3, 32, 32)) == (side, side)


def test_limit_follows_a_learned_size_up_to_the_whole_image():
    network = network_by_name(TINY, "flexconv", 16).untrained_module()
    assert support(network, (3, 16, 16)) == network.blocks[0].operator.cropped() == (3, 3)
    with torch.no_grad():
        network.blocks[0].operator.mask.sigma.copy_(torch.tensor([0.3, 0.2]))
    assert support(network, (3, 16, 16)) == network.blocks[0].operator.cropped() == (11, 7)
    assert support(network_by_name(TINY, "global_filter", 16).untrained_module(), (3, 16, 16)) is None
    assert support(network_by_name(TINY, "dwconv31", 16).untrained_module(), (3, 16, 16)) is None


def test_limit_ignores_max_pooling_inactive_units_and_zero_weights():
    conv = nn.Conv2d(3, 4, 3, padding=1)
    conv.bias.data.fill_(-1e3)  # below zero before the ReLU
    norm = nn.BatchNorm2d(4)
    norm.weight.data.zero_()
    network = nn.Sequential(
        conv, nn.ReLU(), norm, nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert support(network.eval(), (3, 32, 32)) == (8, 8), "2 (3 - 1) + 2 + (3 - 1)"
    with pytest.raises(WrongResult, match="does not depend on the image"):
        mean_abs_gradient(network, IMAGES)


def test_limit_ignores_caps():
    """The positive copy has values above 6, where the gradient of ReLU6 is zero."""
    conv = nn.Conv2d(3, 4, 3, padding=1)
    layers = [layer for _ in range(8) for layer in (nn.Conv2d(4, 4, 1), nn.Hardtanh(0, 2), nn.ReLU6())]
    network = nn.Sequential(conv, nn.ReLU6(), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert support(network, (3, 32, 32)) == (3, 3)


def test_limit_is_unknown_if_the_gradient_vanishes(monkeypatch):
    class Stop(nn.Module):
        def forward(self, x):
            return x.clamp(max=0) + 0 * x.detach()

    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Stop(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(WrongResult):
        support(network, (3, 15, 15))
    assert analysis._limit(network, IMAGES) == ""


def network_by_name(name, method, res, **fields):
    known = {entry.name: entry for entry in methods.catalogue()}
    (network,) = by_name((name,), (method,), [(res, res)], known, classes=10)
    return replace(network, **fields)


def test_images_are_evenly_spaced_in_the_test_split_and_repeated_over_channels():
    images = analysis.load_images(network_by_name(TINY, "dwconv3", 8), "digits", 5)
    test = digits.load(DataSpec(8)).test.tensors[0]
    assert images.shape == (5, 3, 8, 8) and torch.equal(images[:, 1], test[[0, 90, 180, 269, 359], 0])
    assert len(analysis.load_images(network_by_name(TINY, "dwconv3", 8), "digits", 10**6)) == 360
    with pytest.raises(ValueError, match="images of 4 channels; those of 'digits' have 1"):
        analysis.load_images(network_by_name(TINY, "dwconv3", 8, channels=4), "digits", 2)
    with pytest.raises(ValueError, match="square, not 8x6"):
        analysis.load_images(network_by_name(TINY, "dwconv3", 8, size=(8, 6)), "digits", 2)


def train(out):
    args = ["run", "--metrics", "accuracy", "--methods", "dwconv3,flexconv", "--baseline", "none", "--res", "8", "--device", "cpu"]
    args += ["--executor", "inline", "--train-res", "8", "--budget", "epochs=1", "--keep-weights", "epochs", "--backbone", TINY]
    result = CliRunner().invoke(main, [*args, "-o", str(out)])
    assert result.exit_code == 0, result.output


def run(*args):
    return CliRunner().invoke(main, ["analyze", "receptive-field", *map(str, args)])


def test_command_compares_before_and_after_training(tmp_path):
    train(tmp_path / "run")
    result = run(tmp_path / "run" / "weights", "--images", 4, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "receptive_field.csv")
    assert table.value_counts(["specimen", "state"]).tolist() == [5 * 3, 5 * 3, 3, 3]
    plain = table[table["specimen"] == f"{TINY} + dwconv3, digits"]
    assert set(plain["limit"]) == {"3x3"} and plain["side"].max() == 3 and set(table["status"]) == {"ok"}
    assert set(table[table["state"] == "trained"]["epoch"]) == {1}, "the last"
    for name in ("maps", "curves"):
        assert (tmp_path / "out" / "figures" / f"{name}.png").stat().st_size > 5000
    page = (tmp_path / "out" / "ANALYSIS.md").read_text()
    assert "untrained, 5 seeds" in page and "trained, 1 seed" in page and "3x3" in page


def save_weights(folder, seed=0, epoch=2, **settings):
    """Write a file as saved by a training of two epochs."""
    protocol = Training(res=8, epochs=2, **settings)
    job = Job(replace(accuracy_cell(Cell("dwconv3", 8, 8), protocol, TINY), seed=seed), "accuracy", protocol)
    network = Network(job.cell, (8, 8), 10, 1).untrained_module(seed)
    fields = {"job": job.to_json(), "classes": 10, "channels": 1, "epoch": epoch, "epochs": 2}
    torch.save({**fields, "weights": network.state_dict()}, folder / f"{stem(job)}-epoch{epoch:03d}{SUFFIX}")


def test_seeds_are_grouped_by_protocol_and_number_of_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "SEEDS", 2)
    for seed in (0, 1):
        save_weights(tmp_path, seed)
    save_weights(tmp_path, 0, lr=(1e-3,))
    save_weights(tmp_path, 2, epoch=1)
    findings = analysis.analyse(from_weights([tmp_path]), images=2)
    table = findings.tables["receptive_field"]
    trained = table[(table["state"] == "trained") & (table["share"] == 0.5)]
    groups = {(protocol, epoch): set(rows["seed"]) for (protocol, epoch), rows in trained.groupby(["protocol", "epoch"])}
    assert sorted(groups.values(), key=len) in ([{0}, {2}, {0, 1}], [{2}, {0}, {0, 1}])
    assert trained["protocol"].nunique() == 2 and set(trained["epochs"]) == {2}
    label = f"{TINY} + dwconv3, digits"
    for protocol in trained["protocol"].unique():
        assert f"`{label}, {protocol[-6:]}`" in findings.text
    assert f"`{label}, epoch 1 of 2`" in findings.text
    for state in ("trained, 2 seeds, epoch 2 of 2", "trained, 1 seed, epoch 2 of 2", "trained, 1 seed, epoch 1 of 2"):
        assert f" {state} " in findings.text
    styles = {
        (line.get_marker(), line.get_linestyle(), str(line._dash_pattern)) for line in findings.figures["curves"].axes[0].lines
    }
    assert len(styles) == 3, "each has its own marker or dashes"
    titles = [axes.get_title("left") for axes in findings.figures["maps"].axes]
    assert len({title for title in titles if title.endswith("\nuntrained")}) == 3


def test_failed_measurement_is_a_row_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "SEEDS", 2)
    plain, failing = network_by_name(TINY, "dwconv3", 8), network_by_name(TINY, "shared_basis", 8)
    untrained_module = Network.untrained_module

    def build(self, seed=0):
        if self.cell.method == "shared_basis":
            raise Unsupported("not at this size")
        return untrained_module(self, seed)

    monkeypatch.setattr(Network, "untrained_module", build)
    findings = analysis.analyse([plain, failing], "digits", 2)
    table = findings.tables["receptive_field"]
    failed = table[table["status"] != "ok"]
    assert set(failed["specimen"]) == {f"{TINY} + shared_basis"} and set(failed["detail"]) == {"not at this size"}
    assert failed["side"].isna().all() and len(failed) == 6
    assert "2 *unsupported*<sup>1</sup>" in findings.text and "unsupported: not at this size" in findings.text
    assert list(findings.figures) == ["maps", "curves"]
    failed_only = analysis.analyse([failing], "digits", 2)
    assert not failed_only.figures and len(failed_only.tables["curves"]) == 0


def test_styles_are_of_the_method_of_the_network_or_of_the_title():
    def compare(*cells):
        networks = [Network(replace(cell, level="model", height=8, width=8), (8, 8)) for cell in cells]
        return [Comparison(f"{number}", network, "digits", 1) for number, network in enumerate(networks)]

    inside = Cell("niff", 8, 8, params=(("init", "broad"),), network="resnet18")
    published = Cell(ORIGINAL, 8, 8, network="resnet18[pretrained=True]")
    assert [method_and_host(cell) for cell in (inside, published)] == [("niff[init=broad]", "resnet18"), (published.label, "")]
    assert styles_of(compare(inside, published)) == [style.of("niff", "niff[init=broad]"), style.of("resnet18", published.label)]
    by_network = compare(inside, replace(inside, network="mixer"))
    assert styles_of(by_network) == [style.of("niff", f"{host} + niff[init=broad]") for host in ("resnet18", "mixer")]
    assert styles_of(compare(inside, inside)) == [
        style.of("niff", f"{inside.label} ({inside.label}, {number})") for number in range(2)
    ]


def test_invalid_input_is_reported(tmp_path):
    network = ["--backbone", TINY, "--methods", "dwconv3"]
    for args, message in (
        ([*network, "--res", 8], "dwconv3 was not trained with this program: select the images with --data"),
        ([*network, "--res", 8, "--data", "digit"], "unknown data set 'digit'"),
        ([*network, "--res", "8x6", "--data", "digits"], "square, not 8x6"),
    ):
        result = run(*args, "-o", tmp_path / "out")
        assert result.exit_code == 2 and message in result.output
