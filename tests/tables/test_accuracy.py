"""Accuracies of seeds become means, intervals, places, reach and a front; checked against figures worked out by hand."""

import inspect
import itertools
import math
from dataclasses import replace

import pytest

from bench import journal as store
from bench.plan import accuracy_cell
from bench.spec import ORIGINAL, Cell, Job, Record, Training
from bench.stats.ranking import front
from bench.stats.ratios import difference
from bench.tables import accuracy as learned
from bench.tables import accuracy_csv as trainings
from bench.tables import reach
from bench.tables.cells import tidy

TASK = Training()


def trained(method, accuracy, seed=0, status="ok", network="mixer", protocol=TASK, evals=(), detail="", **cell):
    """A record of metric accuracy; `accuracy` is None where it failed."""
    where = replace(accuracy_cell(Cell(method, 8, 8, **cell), protocol, network), seed=seed)
    values = {"accuracy": accuracy, "accuracy_floor": 50.0, "accuracy_floor_of": "chance", "accuracy_params": 10.0 + seed}
    return Record(
        Job(where, "accuracy", protocol, "c"),
        status,
        detail,
        values if status == "ok" else {},
        evals=dict(evals),
        env="e1",
    )


def seeds(method, *accuracies, **kwargs):
    return [trained(method, accuracy, seed, **kwargs) for seed, accuracy in enumerate(accuracies)]


def far(distance):
    return replace(TASK, data=f"farpair[distance={distance}]", res=32)


def test_mean_and_interval_over_seeds():
    """90, 92, 94: deviation 2, half width 4.303 * 2 / sqrt(3) = 4.969."""
    got = learned.summary(seeds("a", 90.0, 92.0, 94.0))
    assert (got["accuracy"], got["accuracy_seeds"], got["accuracy_params"]) == (92.0, 3, 11.0)
    assert got["accuracy_lo"] == pytest.approx(92 - 4.9687, abs=1e-3)
    assert got["accuracy_hi"] == pytest.approx(92 + 4.9687, abs=1e-3)
    assert "accuracy_seed" not in got


def test_an_interval_stays_between_nothing_and_everything():
    """Its half is told as it was: 12.706 / 2 between 0 and 1."""
    assert learned.summary(seeds("a", 100.0, 100.0, 97.0))["accuracy_hi"] == 100.0
    low = learned.summary(seeds("a", 0.0, 1.0))
    assert (low["accuracy_lo"], low["accuracy_half"]) == (0.0, pytest.approx(6.353, abs=1e-3))
    assert learned.interval([0.0, 1.0]).lo < 0
    alone = learned.summary(seeds("a", 50.0))
    assert all(math.isnan(alone[f"accuracy_{end}"]) for end in ("lo", "hi", "half"))


def test_a_failed_seed_leaves_no_mean():
    records = [*seeds("a", 90.0, 92.0), trained("a", None, 2, "error", detail="step 7: cross entropy nan")]
    got = learned.summary(records)
    assert got["accuracy_status"] == "error"
    assert got["accuracy_detail"] == "seed 2: step 7: cross entropy nan"
    assert "accuracy" not in got


def test_the_difference_of_two_means_is_welchs():
    """Worked example: variances 1 and 4 of three each, error sqrt(5/3), (5/3)^2 / (1/9/2 + 16/9/2) = 2.94 degrees, cut to 2."""
    got = difference([10.0, 11.0, 12.0], [3.0, 5.0, 7.0])
    half = 4.303 * math.sqrt(5 / 3)
    assert got == pytest.approx((6.0, 6.0 - half, 6.0 + half))
    assert math.isnan(difference([1.0], [2.0, 3.0]).lo)


def test_methods_that_are_not_told_apart_share_a_place():
    ranked = [seeds("a", 99.0, 99.5, 99.2), seeds("b", 98.0, 99.9, 99.0), seeds("c", 80.0, 81.0, 80.5), seeds("d", 50.0)]
    assert learned.places(ranked) == [1, 1, 3, 3], "of a single seed nothing is told"


def test_contests_keep_protocols_hosts_and_machines_apart():
    longer = replace(TASK, epochs=20)
    records = [
        *seeds("a", 90.0, 91.0),
        *seeds("b", 90.0),
        *seeds("a", 95.0, protocol=longer),
        *seeds("a", 95.0, network="mixer[depth=4]"),
        replace(trained("a", 90.0), env="e2"),
        trained("a", 90.0, threads=2),
    ]
    found = [{cell.method: len(group) for cell, group in contest.items()} for contest in learned.contests(records)]
    assert found == [{"a": 2, "b": 1}, {"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}]


def test_networks_that_are_no_hosts_compete_with_each_other():
    records = [trained(ORIGINAL, 90.0, network="resnet18"), trained("niff", 91.0, network="resnet18")]
    (contest,) = learned.contests([*records, trained(ORIGINAL, 92.0, network="flexnet7")])
    assert [learned.label(cell) for cell in contest] == ["resnet18", "resnet18 + niff", "flexnet7"]
    assert "any network" in learned.comparison_group(records[0])
    assert learned.label(trained("niff", 1.0).job.cell) == "niff"


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
def test_usable_reach_ends_at_the_first_distance_that_is_not_learned(means, expected):
    assert reach.usable(means) == expected


def test_what_counts_as_learned_is_out_of_reach_of_a_sum():
    """The best threshold on one term a blob, over a grid of terms for both signs of both: three of the four pairs of signs."""
    terms = [value / 2 for value in range(-4, 5)]
    pairs = [(one, other) for one in (0, 1) for other in (0, 1)]
    best = max(
        sum((a[one] + b[other] > 0) == (one == other) for one, other in pairs)
        for a in itertools.product(terms, repeat=2)
        for b in itertools.product(terms, repeat=2)
    )
    assert 100 * best / 4 == reach.APART < reach.LEARNED


def test_curves_join_the_distances_of_one_protocol():
    other = replace(far(6), epochs=20)
    records = [
        *seeds("a", 90.0, 92.0, protocol=far(6)),
        *seeds("a", 50.0, 52.0, protocol=far(12)),
        *seeds("b", 80.0, protocol=replace(far(6), data="farpair")),
        trained("c", 90.0, protocol=other),
        trained("a", 90.0),
        trained("d", None, status="error", protocol=far(6)),
    ]
    (family,) = reach.families(records)
    assert reach.distances(family) == [6, 12, reach.DISTANCE]
    assert {cell.method: reach.means(curve) for cell, curve in family.items()} == {
        "a": {6: 91.0, 12: 51.0},
        "b": {reach.DISTANCE: 80.0},
        "d": {6: None},
    }


def test_what_else_is_asked_of_farpair_keeps_curves_apart():
    def task(distance, count):
        return replace(TASK, data=f"farpair[distance={distance},train={count}]")

    records = [trained("a", 90.0, protocol=task(distance, count)) for distance in (6, 12) for count in (100, 200)]
    assert len(reach.families(records)) == 2


def test_defaults_are_those_of_the_data_and_the_host():
    from bench.data import farpair
    from bench.nets import mixer

    assert inspect.signature(farpair.load).parameters["distance"].default == reach.DISTANCE
    options = inspect.signature(mixer.build).parameters
    assert {name: options[name].default for name in reach.HOST} == reach.HOST


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
        ("somebody_elses", "mixer", 5, None),
    ],
)
def test_a_receptive_field_is_known_only_of_fixed_kernels_in_the_host(method, network, kernel, expected):
    assert reach.provable_limit(Cell(method, 32, 32, kernel=kernel, network=network)) == expected


@pytest.mark.parametrize("method", ["dwconv3", "conv3", "shared_basis"])
def test_the_provable_limit_is_that_of_the_networks_gradients(method):
    """The gradient of a feature before the mean, by the image, in a square of exactly that side."""
    import torch

    from bench.workload.build import Workload

    cell = Cell(method, 32, 32, network="mixer[patch=2,width=4]", level="model")
    network = Workload(cell).network(2, 1, (32, 32)).eval()
    x = torch.randn(1, 1, 32, 32, requires_grad=True)
    network.blocks(network.stem(x))[0, :, 8, 8].sum().backward()
    seen = x.grad[0, 0].nonzero()
    side = int((seen.amax(0) - seen.amin(0) + 1).max())
    assert side == reach.provable_limit(cell)


def test_the_front_holds_what_nothing_beats_in_both():
    assert front([(1.0, 80.0), (2.0, 90.0), (3.0, 85.0), (4.0, 99.0), (2.0, 90.0), (1.0, 79.0)]) == [
        True, True, False, True, True, False,
    ]  # fmt: skip
    assert front([]) == []


def test_accuracies_of_each_evaluation():
    evals = {"16": 91.0, "24": 85.0, "32 bicubic": 80.0, "32 pad_kernel": "unsupported: fits 16 px only"}
    found = list(trainings.rows(trained("niff", 91.0, 3, evals=evals)))
    kept = [tuple(row[name] for name in ("res", "eval_res", "way", "accuracy", "status", "detail", "seed")) for row in found]
    assert kept == [
        (16, 16, "", 91.0, "ok", "", 3),
        (16, 24, "", 85.0, "ok", "", 3),
        (16, 32, "bicubic", 80.0, "ok", "", 3),
        (16, 32, "pad_kernel", None, "unsupported", "fits 16 px only", 3),
    ]
    assert all(set(row) == set(trainings.NAMES) for row in found)
    assert found[0]["params_count"] == 13.0


def test_a_failed_training_is_one_row_with_nulls():
    (row,) = trainings.rows(trained("niff", None, status="oom", detail="no room"))
    assert (row["accuracy"], row["floor"], row["status"], row["detail"]) == (None, None, "oom", "no room")


def write(path, *records, **run):
    with store.Writer(path) as writer:
        writer.run({"command": "c", "started": 1.0, "baseline": "none", **run})
        for record in records:
            writer.record(record)
    return store.read(path)


def test_the_accuracy_table_is_written_where_something_was_trained(tmp_path):
    pd = pytest.importorskip("pandas")
    path = tmp_path / "run" / store.NAME
    journal = write(path, *seeds("a", 90.0, 92.0, evals={"32": 70.0}))
    (written,) = trainings.write(journal)
    assert written == tmp_path / "run" / "accuracy.csv"
    table = pd.read_csv(written)
    assert list(table["accuracy"]) == [90.0, 70.0, 92.0, 70.0]
    assert list(table["seed"]) == [0, 0, 1, 1]
    assert trainings.write(write(tmp_path / "other" / store.NAME)) == []


def test_beside_the_other_metrics_stands_the_protocol_that_was_asked_for_first(tmp_path):
    task = replace(TASK, epochs=20)
    records = [*seeds("a", 90.0, 92.0), *seeds("a", 70.0, protocol=task)]
    first = learned.protocol_of(records[-1])
    journal = write(tmp_path / "run" / store.NAME, *records, protocols=[first, learned.protocol_of(records[0])])
    assert list(tidy(journal)["accuracy"]) == [70.0]
    assert list(tidy(journal)["accuracy_protocol"]) == [first]


def test_every_network_of_the_headline_contest_has_its_row(tmp_path):
    records = [trained(ORIGINAL, accuracy, network=name) for name, accuracy in (("resnet18", 90.0), ("flexnet7", 91.0))]
    journal = write(tmp_path / "run" / store.NAME, *records, protocols=[learned.protocol_of(records[0])])
    table = tidy(journal)
    assert dict(zip(table["label"], table["accuracy"])) == {"resnet18": 90.0, "flexnet7": 91.0}


def test_a_training_of_an_older_version_is_read(tmp_path):
    """Its learning rate was one number, its host a part of the protocol, and it kept fewer figures."""
    path = tmp_path / "run" / store.NAME
    old = {"data": "digits", "res": 16, "width": 16, "depth": 2, "batch": 32, "epochs": 10, "lr": 0.02, "warmup": 1}
    job = {**trained("a", 1.0, network="").job.to_json(), "protocol": old}
    del job["cell"]["network"]
    line = {"kind": "record", "key": "k", "job": job, "status": "ok", "values": {"accuracy": 92.5, "accuracy_seed": 0}}
    path.parent.mkdir()
    path.write_text(store.json.dumps(line) + "\n")
    (record,) = learned.trained(store.read(path))
    assert learned.training(record).lr == (0.02,)
    assert learned.label(record.job.cell) == "a"
    assert ", ," not in learned.comparison_group(record)
    (row,) = trainings.rows(record)
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
def test_a_floor_is_cleared_by_more_than_seeds_and_test_images_explain(mid, lo, images, above):
    """A thousand images at 50 percent: 3.1 points."""
    assert learned.clears(mid, lo, 50.0, images) == above
