"""Networks in the leaderboard: published values, replaced convolutions, accuracies of other protocols."""

from dataclasses import replace

from bench.metrics import params
from bench.nets.published import SPECTRUM
from bench.report.markdown import inline
from bench.spec import ORIGINAL, Cell, Job, Protocol, Record
from bench.workload.build import Workload
from tests.builders import accuracy_page, rows, trained


def finished(measurement):
    """Return the result of a metric."""
    while True:
        try:
            next(measurement)
        except StopIteration as end:
            return end.value


def network_row(method=ORIGINAL, network="dfformer_s18", metric="params", **values):
    res = 32 if network.startswith("shared_resnet32") else 224
    cell = Cell(method, res, res, channels=3, level="model", network=network)
    return Record(Job(cell, metric, Protocol(), "c"), "ok", "", values, env="e1")


def test_published_values_are_shown_with_the_reason_for_a_difference(tmp_path):
    text = accuracy_page(
        tmp_path,
        network_row(params_count=30_324_372),
        network_row(metric="flops", gmacs=3.878, flops=7.9e9),
        network_row(network="resnet50", metric="flops", gmacs=4.1, flops=8.2e9),
        network_row(network="shared_resnet32", params_count=261_608),
        network_row("niff", "resnet50", params_count=1),
    )
    (head, *lines), small = rows(text.split("#### 224 px")[1]), rows(text.split("#### 32 px")[1].split("####")[0])
    assert head == ["method", "params", "published params", "GFLOP", "GMAC", "published GMAC"]
    assert lines == [
        ["`dfformer_s18`", "30,324,372", "30,324,372", "7.90", "3.88", "3.800<sup>1</sup>"],
        ["`resnet50`", "", "25,557,032", "8.20", "4.10", "4.11"],
        ["`resnet50 + niff`", "1", "", "", "", ""],
    ]
    assert f"<sup>1</sup> {inline(SPECTRUM)}" in text
    assert small[1][-1] == "0.080" and small[1][2] == "0.197 M<sup>1</sup>"
    assert "<sup>1</sup> for 10 classes" in text


def test_no_published_columns_without_published_values(tmp_path):
    assert "published params" not in accuracy_page(tmp_path, network_row("niff", "resnet50", params_count=1)).split("## run", 1)[1]


def test_replaced_convolutions_are_reported(tmp_path):
    swapped = {"convs_exchanged": 13.0, "convs_kept": 7.0, "convs_kept_why": "3 1x1, 3 strided, 1 stem"}
    text = accuracy_page(
        tmp_path, network_row("niff", "resnet18", params_count=1, **swapped), network_row(network="vgg16", params_count=2)
    )
    assert "`resnet18 + niff`<sup>1</sup>" in text
    assert "<sup>1</sup> 13 of 20 convolutions replaced; unchanged: 3 1x1, 3 strided, 1 stem" in text
    assert text.count("convolutions replaced") == 1


def test_replaced_convolutions_are_counted():
    """ResNet-18 has a stem, three strided 3x3 and three 1x1 shortcut convolutions, and 13 others."""
    cell = Cell("dwconv7", 64, 64, channels=3, level="model", network="resnet18")
    values = finished(params.measure(Workload(cell), Protocol())).values
    assert (values["convs_exchanged"], values["convs_kept"]) == (13, 7)
    assert sorted(values["convs_kept_why"].split(", ")) == ["1 stem", "3 1x1", "3 strided"]
    plain = finished(params.measure(Workload(replace(cell, method=ORIGINAL)), Protocol())).values
    assert plain["convs_exchanged"] is plain["convs_kept_why"] is None


def test_accuracy_of_another_protocol_is_noted(tmp_path):
    """The rows of networks show the comparison group of networks; that of a host is another."""
    text = accuracy_page(
        tmp_path,
        trained(ORIGINAL, 90.0, network="resnet50"),
        network_row(network="resnet50", params_count=2),
        network_row("niff", "mixer", params_count=1),
        network_row("niff", "mixer[depth=3]", params_count=3),
        trained("niff", 90.0, network="mixer"),
    )
    accuracies = {line[0]: line[-1] for line in rows(text.split("#### 224 px")[1].split("###")[0])[1:]}
    assert accuracies == {
        "`resnet50`": "90.0",
        "`mixer + niff`": "<sup>1</sup>",
        "`mixer[depth=3] + niff`": "",
    }
    assert "<sup>1</sup> trained under another protocol, see below" in text
