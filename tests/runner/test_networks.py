"""Level "model": networks of the libraries, as published and with an operator inside, from the command to the table."""

from __future__ import annotations

import pytest
import torch

import methods
from bench import names, nets
from bench.axes import setting_text
from bench.journal import JOURNAL, read_journal
from bench.plan import cells
from bench.runner.networks import baseline_label
from bench.spec import ORIGINAL
from bench.tables.cells import tidy
from bench.workload.failures import diagnose
from tests.builders import bench, grid

KNOWN = {entry.name: entry for entry in methods.catalogue()}


# --- names ---


# --- building ---


# --- metrics ---


# --- labels ---


def test_labels_are_read_as_they_are_written():
    axes = {"height": 64, "width": 96, "channels": 3, "level": "model"}
    for label in ("resnet18", "resnet50[min_kernel=5,where=dense] + niff[hidden=16]", "mixer[depth=2] + dwconv[kernel=5]"):
        cell = names.cell_of(label, KNOWN, **axes)
        assert cell.label == label
        assert (cell.level, cell.channels) == ("model", 3)
    assert names.cell_of("resnet18", KNOWN, **axes).method == ORIGINAL
    assert "networks with 1000 classes, 3 image channels, 64x96 px" in setting_text(vars(cell))


def test_what_networks_are_compared_with():
    def compared(requested, *networks, chosen=("niff",), **axes):
        planned = cells(grid(chosen, ((32, 32),), level="model", networks=networks, **axes), KNOWN)
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
    planned = list(cells(grid(("niff",), ((32, 32),), level="model", networks=("resnet18",)), KNOWN))
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
    assert "no convolution of VisionTransformer can be replaced" in found["test_vit + niff"][1]


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


def test_an_exception_without_text_has_its_location():
    with torch.device("meta"), pytest.raises(AssertionError) as raised:
        nets.build("halonet26t", None, 7, 3, (200, 200))(torch.empty(1, 3, 200, 200))
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
