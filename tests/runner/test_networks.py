"""Level "model": networks of the libraries, as published and with an operator inside, from the command to the table."""

from __future__ import annotations

import urllib.error

import pytest
import timm
import torch

import methods
from bench import names, nets
from bench.cli.networks import baseline_label
from bench.journal import JOURNAL, read_journal
from bench.metrics import flops, params
from bench.metrics.flops import steady
from bench.nets import library
from bench.plan import Axes, cells
from bench.spec import ORIGINAL, Cell
from bench.tables.cells import tidy
from bench.workload.build import Workload
from bench.workload.cost import predict
from bench.workload.failures import diagnose
from tests.builders import bench, values_of

KNOWN = {entry.name: entry for entry in methods.catalogue()}


def workload_of(network, method=ORIGINAL, size=(64, 64), **settings):
    return Workload(Cell(method, *size, 3, level="model", network=network, **settings))


def build(text, operator=None, classes=7, channels=3, size=(32, 32)):
    return nets.build(text, operator, classes, channels, size)


# --- names ---


def test_a_name_is_looked_up_in_timm_then_in_torchvision():
    assert library.find("resnet18") == library.find("timm/resnet18") == ("timm", "resnet18")
    assert library.find("torchvision/resnet18") == ("torchvision", "resnet18")
    assert library.find("shufflenet_v2_x1_0") == ("torchvision", "shufflenet_v2_x1_0")
    assert library.find("resnet50.a1_in1k") == ("timm", "resnet50.a1_in1k")


@pytest.mark.parametrize(("wrong", "near"), [("resnt18", "resnet18"), ("convnext_attoo", "convnext_atto"), ("mixr", "mixer")])
def test_an_unknown_name_is_answered_with_the_nearest(wrong, near):
    with pytest.raises(ValueError, match=rf"unknown network '{wrong}'; did you mean .*'{near}'"):
        library.find(wrong)


def test_a_prefix_decides():
    with pytest.raises(ValueError, match=r"unknown network 'torchvision/convnext_atto'"):
        library.find("torchvision/convnext_atto")


# --- building ---


def test_images_of_any_number_of_channels_and_classes():
    for name in ("test_resnet", "torchvision/squeezenet1_1"):
        for channels in (1, 3):
            assert build(name, channels=channels).eval()(torch.zeros(2, channels, 32, 32)).shape == (2, 7)


def test_a_constructor_that_computes_is_no_hindrance_on_meta():
    with torch.device("meta"):
        network = build("torchvision/regnet_x_400mf", channels=1, size=(64, 64))
        assert network(torch.empty(2, 1, 64, 64)).shape == (2, 7)


def test_a_network_of_one_image_size_is_built_for_it():
    assert build("test_vit", size=(64, 96))(torch.zeros(1, 3, 64, 96)).shape == (1, 7)


def test_other_options_are_the_networks_own():
    network = build("test_convnext[kernel_sizes=31]")
    assert {m.kernel_size for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1} == {(31, 31)}
    with pytest.raises(ValueError, match="network 'test_resnet': got an unexpected keyword argument 'wher'"):
        build("test_resnet[wher=dense]")
    with pytest.raises(ValueError, match="where must be one of"):
        build("test_resnet[where=stem]")


def test_options_select_what_is_replaced():
    network = build("test_convnext[min_kernel=7]", methods.get("dwconv3").build)
    assert {layer.kernel for layer in network.swapped.exchanged} == {(7, 7)}
    assert not hasattr(build("test_convnext[min_kernel=7]"), "swapped")


def test_unavailable_pretrained_weights_are_an_early_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    asked = []

    def unreachable(address, timeout):
        asked.append(timeout)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(ConnectionError, match=r"the pretrained weights of 'test_resnet' are not in .* cannot be reached"):
        build("test_resnet[pretrained=True]")
    with pytest.raises(ConnectionError):
        library.check("test_resnet[pretrained=True]")
    assert asked == [1.0, 1.0]


def test_pretrained_weights_that_are_here_are_used_for_what_stays(monkeypatch, tmp_path):
    torch.manual_seed(5)
    state = timm.create_model("test_resnet").state_dict()
    file = tmp_path / "pytorch_model.bin"
    torch.save(state, file)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, name: str(file) if name == file.name else None)
    network = build("test_resnet[pretrained=True]", methods.get("niff").build, classes=1000)
    kept = state.keys() - {f"{layer.name}.weight" for layer in network.swapped.exchanged}
    assert all(torch.equal(network.state_dict()[name], state[name]) for name in kept)
    with torch.device("meta"):
        assert build("test_resnet[pretrained=True]").get_parameter("fc.weight").is_meta  # the weights are not loaded


def test_pretrained_weights_there_are_none_of():
    with pytest.raises(ValueError, match="pretrained weights are taken from timm alone"):
        build("torchvision/resnet18[pretrained=True]")
    bare = next(name for name in timm.list_models() if not getattr(timm.get_pretrained_cfg(name), "has_weights", False))
    with pytest.raises(ValueError, match=f"timm has no pretrained weights of '{bare}'"):
        library.weights(bare)


# --- metrics ---


PUBLISHED = {  # 1e9 multiply-adds of convolutions and matrix products at 224 x 224, as fvcore counts the published networks
    "resnet18": (1.81407, 11_689_512),
    "resnet50": (4.08918, 25_557_032),
    "convnext_tiny": (4.45553, 28_589_128),
    "mobilenetv2_100": (0.30077, 3_504_872),
    "densenet121": (2.83416, 7_978_856),
    "torchvision/resnet18": (1.81407, 11_689_512),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    workload = workload_of(name, size=(224, 224))
    assert round(steady(workload).macs / 1e9, 5) == PUBLISHED[name][0]
    assert values_of(params, workload)["params_count"] == PUBLISHED[name][1]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize(
    ("name", "method"),
    [("resnet18", ORIGINAL), ("test_convnext", ORIGINAL), ("test_efficientnet", "conv3"), ("test_resnet", "dwconv7")],
)
def test_fvcore_counts_the_same(name, method):
    from fvcore.nn import FlopCountAnalysis

    workload = workload_of(name, method)
    with torch.no_grad():
        analysis = FlopCountAnalysis(workload.build("cpu"), workload.inputs()).unsupported_ops_warnings(False)
        counted = analysis.uncalled_modules_warnings(False).by_operator()
    assert steady(workload).macs == sum(counted[kind] for kind in ("conv", "linear", "matmul", "addmm", "bmm"))


# One network of each way to work; an operator without a formula would raise.
@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize(
    "name",
    [
        *("test_resnet", "test_convnext", "test_vit", "test_efficientnet", "test_mambaout", "test_nfnet", "test_byobnet"),
        *(
            "mobilenetv3_small_100",
            "swin_tiny_patch4_window7_224",
            "densenet121",
            "torchvision/squeezenet1_1",
            "coatnet_nano_rw_224",
        ),
    ],
)
def test_every_operation_of_a_network_is_counted(name, mode):
    forward, call = (steady(workload_of(name, size=(224, 224), mode=one)) for one in ("infer", mode))
    assert call.flops > call.linear > 0
    if mode == "train":
        assert 2.8 * forward.linear < call.linear < 3.6 * forward.linear  # attention computes its weights again


def test_training_a_network_costs_three_forwards():
    """Twice backward: for the maps, with that of the image, and for the weights."""
    forward, step = (steady(workload_of("resnet18", mode=mode)) for mode in ("infer", "train"))
    assert step.linear == 3 * forward.linear


def test_a_network_has_no_kernel_extent():
    found = values_of(params, workload_of("test_resnet", "dwconv7"))
    assert (found["kernel_height"], found["kernel_width"]) == (None, None)


def test_operators_inside_a_network_are_frozen_for_inference():
    found = values_of(flops, workload_of("test_resnet", "niff"))
    assert found["flops_kernel"] > 0
    assert 0 < found["kernel_share"] < 1
    frozen, training = (workload_of("test_resnet", "niff", mode=mode).build("cpu") for mode in ("infer", "train"))
    parts = [part for part in frozen.modules() if hasattr(part, "cached")]
    assert len(parts) == 4 and all(part._frozen for part in parts) and not frozen.training
    assert training.training and not any(part._frozen for part in training.modules() if hasattr(part, "cached"))


def test_the_guard_knows_the_backward_of_a_network():
    infer, train = (predict(workload_of("test_resnet", "niff", mode=mode)) for mode in ("infer", "train"))
    assert train.flops > 2.5 * infer.flops
    assert train.bytes > infer.bytes


# --- labels ---


def test_labels_are_read_as_they_are_written():
    axes = {"height": 64, "width": 96, "channels": 3, "level": "model"}
    for label in ("resnet18", "resnet50[min_kernel=5,where=dense] + niff[hidden=16]", "mixer[depth=2] + dwconv[kernel=5]"):
        cell = names.cell_of(label, KNOWN, **axes)
        assert cell.label == label
        assert (cell.level, cell.channels) == ("model", 3)
    assert names.cell_of("resnet18", KNOWN, **axes).method == ORIGINAL
    assert "networks, 3 image channels, 64x96 px" in names.setting_text(cell)


def test_what_networks_are_compared_with():
    def compared(requested, *networks, chosen=("niff",), **axes):
        planned = cells(Axes(chosen, ((32, 32),), level="model", networks=networks, **axes), KNOWN)
        return baseline_label(requested, "dwconv7", list(planned), KNOWN)

    assert compared(None, "resnet18", "mixer") == "resnet18"
    assert compared("none", "resnet18") == "none"
    assert compared("resnet18 + niff", "resnet18") == "resnet18 + niff"
    assert compared("niff", "resnet18", "resnet50") == "resnet18 + niff"
    assert compared(None, "mixer") == "mixer + niff"
    assert compared(None, "mixer", chosen=("niff", "dwconv7")) == "mixer + dwconv7"
    assert compared("dwconv", "mixer", chosen=("niff", "dwconv"), kernel=(5, 9)) == "mixer + dwconv[kernel=5]"
    assert compared("dwconv[kernel=9]", "mixer", chosen=("niff", "dwconv"), kernel=(5, 9)) == "mixer + dwconv[kernel=9]"
    sorted_ = "resnet50[min_kernel=5,where=dense]"
    assert compared("resnet50[where=dense,min_kernel=5] + niff", "resnet18", sorted_) == f"{sorted_} + niff"


@pytest.mark.parametrize("requested", ["resnet50", "resnet18 + dwconv7", "dwconv7", "resnet18 + nif", "nif"])
def test_a_baseline_that_is_not_measured_is_an_error(requested):
    planned = list(cells(Axes(("niff",), ((32, 32),), level="model", networks=("resnet18",)), KNOWN))
    with pytest.raises(ValueError, match=r"unknown method 'nif'|choose none or one of: resnet18, resnet18 \+ niff"):
        baseline_label(requested, "dwconv7", planned, KNOWN)


# --- commands ---


SWEEP = ["run", "--level", "model", "--backbone", "test_resnet,test_convnext", "--executor", "inline"]


FEW = ["--rounds", 2, "--max-rounds", 2]


def test_a_sweep_of_networks(tmp_path):
    """From the command to the table: the published networks and an operator inside them, in one setting a resolution."""
    out = tmp_path / "results" / "run"
    result = bench(*SWEEP, *FEW, "--methods", "niff", "--res", "32,64", "--metrics", "params,memory,latency", "-o", out)
    assert result.exit_code == 0, result.output
    journal = read_journal(out / JOURNAL)
    assert len({record.job.group() for record in journal.records.values() if record.job.metric == "latency"}) == 2
    table = tidy(journal)
    assert len(table) == 8
    for _, rows in table.groupby("height"):
        assert sorted(rows["label"]) == ["test_convnext", "test_convnext + niff", "test_resnet", "test_resnet + niff"]
        assert list(rows[rows["verdict"] == "baseline"]["label"]) == ["test_resnet"]
        assert rows["speedup"].notna().all()
    assert (table["channels"] == 3).all()
    assert table["kernel_height"].isna().all()
    assert (table[["params_count", "mem_peak_bytes", "latency_ms"]] > 0).all(axis=None)
    board = (out.parent / "LEADERBOARD.md").read_text().replace("\\_", "_")
    assert "vs test_resnet" in board
    assert "3 image channels" in board


def test_a_training_step_of_networks(tmp_path):
    out = tmp_path / "results" / "run"
    asked = ["--backbone", "test_resnet", "--methods", "niff", "--metrics", "flops,memory,latency", "--executor", "inline"]
    result = bench("run", "--level", "model", *asked, *FEW, "--res", 32, "--batch", 2, "--mode", "train", "-o", out)
    assert result.exit_code == 0, result.output
    table = tidy(read_journal(out / JOURNAL))
    assert sorted(table["label"]) == ["test_resnet", "test_resnet + niff"]
    assert (table[["flops", "flops_eff", "gmacs", "mem_saved_bytes", "latency_ms"]] > 0).all(axis=None)


def test_a_failing_network_is_a_row_with_its_reason(tmp_path):
    out = tmp_path / "results" / "run"
    result = bench("run", "--level", "model", "--backbone", "test_vit", "--methods", "niff", "--res", 32, "--metrics", "params",
                   "--executor", "inline", "-o", out)  # fmt: skip
    assert result.exit_code == 3
    found = {record.job.cell.label: (record.status, record.detail) for record in read_journal(out / JOURNAL).records.values()}
    assert found["test_vit"][0] == "ok"
    assert found["test_vit + niff"][0] == "error"
    assert "no convolution of VisionTransformer qualifies" in found["test_vit + niff"][1]


def test_operators_and_networks_in_one_journal_have_separate_baselines(tmp_path):
    out = tmp_path / "results" / "run"
    few = [*FEW, "--metrics", "latency", "--executor", "inline", "-o", out]
    assert bench("run", "--methods", "dwconv3", "--res", 8, "--channels", 4, *few).exit_code == 0
    assert bench(*SWEEP, "--res", 32, *few).exit_code == 0
    table = tidy(read_journal(out / JOURNAL))
    assert set(table[table["verdict"] == "baseline"]["label"]) == {"dwconv7", "test_resnet"}


def test_an_unknown_network_ends_the_command_before_any_job(tmp_path):
    result = bench(
        "run", "--level", "model", "--backbone", "resnet18,nonsens", "--res", 32, "--methods", "niff", "-o", tmp_path / "a" / "b"
    )
    assert result.exit_code == 2
    assert "unknown network 'nonsens'" in result.output
    assert not (tmp_path / "a").exists()
    for words, reason in (
        (["--backbone", "resnet18[where=here]"], "where must be one of"),
        (["--backbone", "mixer"], "network 'mixer' needs --methods"),
        (["--backbone", "mixer[width=a]", "--methods", "niff"], "network 'mixer[width=a]' cannot be built: TypeError"),
        (["--backbone", "dfformer_s18[depht=3]"], "network 'dfformer_s18': got an unexpected keyword argument 'depht'"),
        (["--backbone", "flexnet3[foo=3]"], "has no option foo"),
        (["--backbone", "niff_resnet18", "--methods", "niff"], "takes no method"),
        (["--backbone", "resnet18", "--channels", "64"], "--channels applies to operators"),
        (["--backbone", "resnet18", "--methods", "niff", "--baseline", "resnet18 + nif"], "unknown method 'nif'"),
        ([], "--level model needs --backbone"),
    ):
        result = bench("run", "--level", "model", *words, "--res", 32, "-o", tmp_path / "a" / "b")
        assert result.exit_code == 2
        assert reason in result.output


def test_a_dry_run_shows_the_networks_and_adds_no_baseline_method(tmp_path):
    result = bench(*SWEEP, "--methods", "niff,afno", "--res", 32, "--metrics", "flops", "--dry-run", "-o", tmp_path / "a" / "b")
    lines = [line for line in result.output.splitlines() if " flops " in line]
    assert [line.split("  ")[0] for line in lines] == [
        *("test_resnet", "test_resnet + niff", "test_resnet + afno"),
        *("test_convnext", "test_convnext + niff", "test_convnext + afno"),
    ]
    assert not any("error" in line or "skip" in line for line in lines)


def test_a_network_without_accuracy_is_an_error(tmp_path):
    result = bench("run", "--methods", "niff", "--res", 8, "--backbone", "mixer", "--metrics", "flops", "-o", tmp_path / "a" / "b")
    assert result.exit_code == 2
    assert "--backbone applies to --level model and to the metric accuracy" in result.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--train", "optimizer=adamv"], "timm has no such optimizer; did you mean 'adam'?"),
        (["--data", "farpair[distance=600]", "--train-res", 32], "farpair at 32 px: distance 600"),
        (["--data", "farpair[train=0]"], "are not positive integers"),
    ],
)
def test_a_training_that_cannot_begin_ends_the_command(tmp_path, words, reason):
    asked = ["run", "--methods", "niff", "--res", 32, "--train-res", 32, "--metrics", "accuracy", "--executor", "inline"]
    result = bench(*asked, *words, "-o", tmp_path / "a" / "b")
    assert result.exit_code == 2
    assert reason in result.output


def test_a_dry_run_of_accuracy_finds_no_false_errors(tmp_path):
    result = bench(
        *SWEEP,
        "--methods",
        "niff",
        "--res",
        32,
        "--train-res",
        32,
        "--metrics",
        "accuracy",
        "--dry-run",
        "-o",
        tmp_path / "a" / "b",
    )
    lines = [line for line in result.output.splitlines() if " accuracy " in line]
    assert len(lines) == 4
    assert not any("error" in line or "skip" in line or " C0" in line for line in lines)


def test_a_network_that_scales_its_images_takes_any_size():
    with torch.device("meta"):
        assert build("crossvit_9_240", size=(224, 224)).eval()(torch.empty(1, 3, 224, 224)).shape == (1, 7)


def test_an_exception_without_text_has_its_location():
    with torch.device("meta"), pytest.raises(AssertionError) as raised:
        build("halonet26t", size=(200, 200))(torch.empty(1, 3, 200, 200))
    status, detail = diagnose(raised.value)
    assert status == "error"
    assert detail.startswith("AssertionError (halo_attn.py:")


def test_info_shows_what_is_replaced():
    result = bench("info", "niff", "--backbone", "resnet50[where=dense]")
    assert result.exit_code == 0
    assert "resnet50[where=dense] + niff, images of 224 px" in result.output
    assert "layer3.5.conv2  dense        3x3    256 -> 256 channels     14x14" in result.output
    assert "Unchanged: 1 stem, 36 1x1, 3 strided" in result.output
    assert "Parameters: 25,557,032 before, 18,280,128 after (-28.5%)" in result.output
    assert "is our own network" in bench("info", "niff", "--backbone", "mixer").output
