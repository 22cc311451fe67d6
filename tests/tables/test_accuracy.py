"""Means, intervals, ranks, effective reach and Pareto fronts of accuracies, against values computed by hand."""

import inspect
import itertools
import json
import math
from dataclasses import replace

import pytest

from bench.journal import JOURNAL, Writer, read_journal
from bench.plan import accuracy_cell
from bench.spec import ORIGINAL, Cell, Evaluation, Job, Record, Training
from bench.stats.ranking import front
from bench.stats.ratios import difference
from bench.tables import accuracy, accuracy_csv, reach
from bench.tables.cells import tidy

TASK = Training()


def trained(method, percent, seed=0, status="ok", network="mixer", protocol=TASK, evals=(), detail="", **cell):
    """Return a record of metric accuracy; `percent` is None if it failed."""
    trained_cell = replace(accuracy_cell(Cell(method, 8, 8, **cell), protocol, network), seed=seed)
    values = {"accuracy": percent, "accuracy_floor": 50.0, "accuracy_floor_of": "chance", "accuracy_params": 10.0 + seed}
    job = Job(trained_cell, "accuracy", protocol, "c")
    return Record(job, status, detail, values if status == "ok" else {}, evals=list(evals), env="e1")


def seeds(method, *percents, **kwargs):
    return [trained(method, percent, seed, **kwargs) for seed, percent in enumerate(percents)]


def farpair(distance):
    return replace(TASK, data=f"farpair[distance={distance}]", res=32)


def test_mean_and_interval_over_seeds():
    """90, 92, 94: standard deviation 2, half-width 4.303 * 2 / sqrt(3) = 4.969."""
    values = accuracy.summary(seeds("a", 90.0, 92.0, 94.0))
    assert (values["accuracy"], values["accuracy_seeds"], values["accuracy_params"]) == (92.0, 3, 11.0)
    assert values["accuracy_lo"] == pytest.approx(92 - 4.9687, abs=1e-3)
    assert values["accuracy_hi"] == pytest.approx(92 + 4.9687, abs=1e-3)
    assert "accuracy_seed" not in values


def test_interval_is_clipped_to_0_and_100_but_not_its_half_width():
    """The half-width of 0 and 1 is 12.706 / 2."""
    assert accuracy.summary(seeds("a", 100.0, 100.0, 97.0))["accuracy_hi"] == 100.0
    low = accuracy.summary(seeds("a", 0.0, 1.0))
    assert (low["accuracy_lo"], low["accuracy_half"]) == (0.0, pytest.approx(6.353, abs=1e-3))
    assert accuracy.interval([0.0, 1.0]).lo < 0
    alone = accuracy.summary(seeds("a", 50.0))
    assert all(math.isnan(alone[f"accuracy_{end}"]) for end in ("lo", "hi", "half"))


def test_failed_seed_gives_no_mean():
    records = [*seeds("a", 90.0, 92.0), trained("a", None, 2, "error", detail="step 7: cross entropy nan")]
    values = accuracy.summary(records)
    assert values["accuracy_status"] == "error"
    assert values["accuracy_detail"] == "seed 2: step 7: cross entropy nan"
    assert "accuracy" not in values


def test_difference_of_two_means_uses_welchs_test():
    """Variances 1 and 4 of three values: error sqrt(5/3), (5/3)^2 / (1/9/2 + 16/9/2) = 2.94 degrees of freedom, floored to 2."""
    interval = difference([10.0, 11.0, 12.0], [3.0, 5.0, 7.0])
    half = 4.303 * math.sqrt(5 / 3)
    assert interval == pytest.approx((6.0, 6.0 - half, 6.0 + half))
    assert math.isnan(difference([1.0], [2.0, 3.0]).lo)


def test_methods_without_significant_difference_are_tied():
    ranked = [seeds("a", 99.0, 99.5, 99.2), seeds("b", 98.0, 99.9, 99.0), seeds("c", 80.0, 81.0, 80.5), seeds("d", 50.0)]
    assert accuracy.ranks(ranked) == [1, 1, 3, 3], "one seed is never significantly different"


def test_comparison_groups_separate_protocols_hosts_and_machines():
    longer = replace(TASK, epochs=20)
    records = [
        *seeds("a", 90.0, 91.0),
        *seeds("b", 90.0),
        *seeds("a", 95.0, protocol=longer),
        *seeds("a", 95.0, network="mixer[depth=4]"),
        replace(trained("a", 90.0), env="e2"),
        trained("a", 90.0, threads=2),
    ]
    counts = [{cell.method: len(of_cell) for cell, of_cell in group.items()} for group in accuracy.comparison_groups(records)]
    assert counts == [{"a": 2, "b": 1}, {"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}]


def test_networks_other_than_hosts_are_compared_with_each_other():
    records = [trained(ORIGINAL, 90.0, network="resnet18"), trained("niff", 91.0, network="resnet18")]
    (group,) = accuracy.comparison_groups([*records, trained(ORIGINAL, 92.0, network="flexnet7")])
    assert [accuracy.label(cell) for cell in group] == ["resnet18", "resnet18 + niff", "flexnet7"]
    assert "any network" in accuracy.comparison_group(records[0])
    assert accuracy.label(trained("niff", 1.0).job.cell) == "niff"


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({6: 99.0, 12: 90.0, 18: 87.5, 24: 87.4}, 18),
        ({6: 99.0, 12: 60.0, 18: 99.0}, 6),
        ({6: 75.5, 12: 99.0}, 0),
        ({12: None, 6: 100.0}, 6),
        ({6: 100.0, 12: 100.0}, 12),
    ],
)
def test_effective_reach_ends_before_the_first_distance_that_is_not_learned(means, expected):
    assert reach.effective_reach(means) == expected


def test_threshold_of_learned_distances_exceeds_the_local_bound():
    """A threshold on a sum of one term per blob is correct for at most three of the four pairs of signs, over a grid of terms."""
    terms = [value / 2 for value in range(-4, 5)]
    pairs = [(first, second) for first in (0, 1) for second in (0, 1)]
    best = max(
        sum((a[first] + b[second] > 0) == (first == second) for first, second in pairs)
        for a in itertools.product(terms, repeat=2)
        for b in itertools.product(terms, repeat=2)
    )
    assert 100 * best / 4 == reach.LOCAL_BOUND < reach.LEARNED


def test_sweeps_combine_the_distances_of_one_protocol():
    other = replace(farpair(6), epochs=20)
    records = [
        *seeds("a", 90.0, 92.0, protocol=farpair(6)),
        *seeds("a", 50.0, 52.0, protocol=farpair(12)),
        *seeds("b", 80.0, protocol=replace(farpair(6), data="farpair")),
        trained("c", 90.0, protocol=other),
        trained("a", 90.0),
        trained("d", None, status="error", protocol=farpair(6)),
    ]
    (sweep,) = reach.distance_sweeps(records)
    assert reach.distances(sweep) == [6, 12, reach.DISTANCE]
    assert {cell.method: reach.means(curve) for cell, curve in sweep.items()} == {
        "a": {6: 91.0, 12: 51.0},
        "b": {reach.DISTANCE: 80.0},
        "d": {6: None},
    }


def test_other_options_of_farpair_separate_sweeps():
    def task(distance, count):
        return replace(TASK, data=f"farpair[distance={distance},train={count}]")

    records = [trained("a", 90.0, protocol=task(distance, count)) for distance in (6, 12) for count in (100, 200)]
    assert len(reach.distance_sweeps(records)) == 2


def test_defaults_equal_those_of_the_data_set_and_the_host():
    from bench.data import farpair
    from bench.nets import mixer

    assert inspect.signature(farpair.load).parameters["distance"].default == reach.DISTANCE
    options = inspect.signature(mixer.build).parameters
    assert {name: options[name].default for name in reach.MIXER_DEFAULTS} == reach.MIXER_DEFAULTS


@pytest.mark.parametrize(
    ("method", "network", "kernel", "expected"),
    [
        ("dwconv3", "mixer", None, 5),
        ("dwconv7", "mixer", None, 13),
        ("dwconv7", "mixer[depth=4,patch=2]", None, 50),
        ("conv", "mixer[depth=1]", 9, 9),
        ("shared_basis", "mixer", None, 5),
        ("dwconv_full", "mixer", None, None),
        ("niff", "mixer", None, None),
        ("flexconv", "mixer", None, None),
        ("global_filter", "mixer", None, None),
        ("dwconv7", "resnet18", None, None),
        ("dwconv7", "", None, None),
        ("unknown_method", "mixer", 5, None),
    ],
)
def test_receptive_field_is_known_only_for_fixed_kernels_in_the_host(method, network, kernel, expected):
    assert reach.receptive_field(Cell(method, 32, 32, kernel=kernel, network=network)) == expected


@pytest.mark.parametrize("method", ["dwconv3", "conv3", "shared_basis"])
def test_receptive_field_equals_the_support_of_the_gradient(method):
    """The gradient of a feature before the mean with respect to the image is non-zero in a square of that side."""
    import torch

    from bench.workload.build import Workload

    cell = Cell(method, 32, 32, network="mixer[patch=2,width=4]", level="model")
    network = Workload(cell).network(2, 1, (32, 32)).eval()
    x = torch.randn(1, 1, 32, 32, requires_grad=True)
    network.blocks(network.stem(x))[0, :, 8, 8].sum().backward()
    support = x.grad[0, 0].nonzero()
    side = int((support.amax(0) - support.amin(0) + 1).max())
    assert side == reach.receptive_field(cell)


def test_pareto_front_of_points():
    assert front([(1.0, 80.0), (2.0, 90.0), (3.0, 85.0), (4.0, 99.0), (2.0, 90.0), (1.0, 79.0)]) == [
        True, True, False, True, True, False,
    ]  # fmt: skip
    assert front([]) == []


def test_accuracies_of_each_evaluation():
    evals = [Evaluation(16, "", 91.0), Evaluation(24, "", 85.0), Evaluation(32, "bicubic", 80.0)]
    evals += [Evaluation(32, "pad_kernel", None, "unsupported", "fits 16 px only")]
    rows = list(accuracy_csv.rows(trained("niff", 91.0, 3, evals=evals)))
    names = ("res", "eval_res", "way", "accuracy", "status", "detail", "seed")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (16, 16, "", 91.0, "ok", "", 3),
        (16, 24, "", 85.0, "ok", "", 3),
        (16, 32, "bicubic", 80.0, "ok", "", 3),
        (16, 32, "pad_kernel", None, "unsupported", "fits 16 px only", 3),
    ]
    assert all(set(row) == set(accuracy_csv.NAMES) for row in rows)
    assert rows[0]["params_count"] == 13.0


def test_failed_training_is_one_row_with_nulls():
    (row,) = accuracy_csv.rows(trained("niff", None, status="oom", detail="no room"))
    assert (row["accuracy"], row["floor"], row["status"], row["detail"]) == (None, None, "oom", "no room")


def write(path, *records, **run):
    with Writer(path) as writer:
        writer.run({"command": "c", "started": 1.0, "baseline": "none", **run})
        for record in records:
            writer.record(record)
    return read_journal(path)


def test_accuracy_csv_is_written_if_something_was_trained(tmp_path):
    pd = pytest.importorskip("pandas")
    path = tmp_path / "run" / JOURNAL
    journal = write(path, *seeds("a", 90.0, 92.0, evals=[Evaluation(32, "", 70.0)]))
    (written,) = accuracy_csv.write(journal)
    assert written == tmp_path / "run" / "accuracy.csv"
    table = pd.read_csv(written)
    assert list(table["accuracy"]) == [90.0, 70.0, 92.0, 70.0]
    assert list(table["seed"]) == [0, 0, 1, 1]
    assert accuracy_csv.write(write(tmp_path / "other" / JOURNAL)) == []


def test_tidy_table_has_the_accuracy_of_the_first_requested_protocol(tmp_path):
    task = replace(TASK, epochs=20)
    records = [*seeds("a", 90.0, 92.0), *seeds("a", 70.0, protocol=task)]
    first = accuracy.protocol_of(records[-1])
    journal = write(tmp_path / "run" / JOURNAL, *records, protocols=[first, accuracy.protocol_of(records[0])])
    assert list(tidy(journal)["accuracy"]) == [70.0]
    assert list(tidy(journal)["accuracy_protocol"]) == [first]


def test_every_network_of_the_headline_comparison_group_has_a_row(tmp_path):
    records = [trained(ORIGINAL, percent, network=name) for name, percent in (("resnet18", 90.0), ("flexnet7", 91.0))]
    journal = write(tmp_path / "run" / JOURNAL, *records, protocols=[accuracy.protocol_of(records[0])])
    table = tidy(journal)
    assert dict(zip(table["label"], table["accuracy"])) == {"resnet18": 90.0, "flexnet7": 91.0}


def test_training_of_an_older_version_is_read(tmp_path):
    """Older versions stored one learning rate, the host in the protocol, and fewer values."""
    path = tmp_path / "run" / JOURNAL
    old = {"data": "digits", "res": 16, "width": 16, "depth": 2, "batch": 32, "epochs": 10, "lr": 0.02, "warmup": 1}
    job = {**trained("a", 1.0, network="").job.to_json(), "protocol": old}
    del job["cell"]["network"]
    line = {"kind": "record", "key": "k", "job": job, "status": "ok", "values": {"accuracy": 92.5, "accuracy_seed": 0}}
    path.parent.mkdir()
    path.write_text(json.dumps(line) + "\n")
    (record,) = accuracy.training_records(read_journal(path))
    assert accuracy.training(record).lr == (0.02,)
    assert accuracy.label(record.job.cell) == "a"
    assert ", ," not in accuracy.comparison_group(record)
    (row,) = accuracy_csv.rows(record)
    assert (row["accuracy"], row["lr"], row["network"], row["floor"]) == (92.5, None, "", None)


@pytest.mark.parametrize(
    ("mid", "lo", "images", "above"),
    [
        (52.0, 51.5, None, True),
        (52.0, 51.5, 1000, False),
        (54.0, 53.5, 1000, True),
        (54.0, 49.0, 1000, False),
        (60.0, math.nan, 1000, False),
    ],
)
def test_significance_above_trivial_accuracy_includes_seeds_and_test_images(mid, lo, images, above):
    """The sampling error of 1000 images at 50% is 3.1 points."""
    assert accuracy.significantly_above(mid, lo, 50.0, images) == above
