"""The grid, its keys and its groups."""

import json
from dataclasses import replace

import pytest

import methods
from bench.plan import plan
from bench.spec import (
    ORIGINAL,
    Cell,
    Evaluation,
    Job,
    Protocol,
    Record,
    Timing,
    Training,
    digest,
    protocol_digest,
    protocol_name,
    read_evaluations,
)
from tests.builders import grid

KNOWN = {entry.name: entry for entry in methods.catalogue()}
CODE = dict.fromkeys(KNOWN, "code")


def jobs_of(*metrics, **axes):
    return plan(grid(**{"methods": ("dwconv3", "dwconv7"), "res": ((8, 8),), **axes}), metrics, KNOWN, CODE)


def test_the_grid_is_the_product_of_its_axes():
    jobs = jobs_of("params", res=((8, 8), (8, 12)), channels=(4, 8), dtype=("fp32", "bf16"), mode=("infer", "train"), batch=(1, 2))
    assert len(jobs) == len(set(jobs)) == 2 * 2 * 2 * 2 * 2 * 2
    assert {(job.cell.height, job.cell.width) for job in jobs} == {(8, 8), (8, 12)}


def test_a_kernel_size_goes_only_to_methods_that_take_one():
    jobs = jobs_of("params", methods=("dwconv", "dwconv7"), kernel=(5, 9))
    assert [(job.cell.method, job.cell.kernel) for job in jobs] == [("dwconv", 5), ("dwconv", 9), ("dwconv7", None)]


def test_accuracy_is_planned_once_for_all_settings_of_a_method():
    jobs = jobs_of("accuracy", res=((8, 8), (99, 99)), dtype=("fp32", "bf16"), mode=("infer", "train"), channels=(4, 8))
    task = Training()
    assert [job.cell.method for job in jobs] == ["dwconv3", "dwconv7"]
    assert {(job.cell.height, job.cell.network, job.cell.level) for job in jobs} == {(task.res, "mixer", "model")}


def test_a_job_survives_json_with_its_key():
    cell = Cell("niff", 8, 12, params=(("hidden", (8, 4)), ("boundary", "zero")), kernel=None)
    for job in (Job(cell, "latency", Timing(rounds=3), "c"), Job(cell, "accuracy", Training(), "c"), Job(cell, "flops")):
        again = Job.from_json(json.loads(json.dumps(job.to_json())))
        assert again == job
        assert again.key() == job.key()


@pytest.mark.parametrize(
    "other",
    [
        {"cell": Cell("dwconv7", 8, 9)},
        {"cell": Cell("dwconv7", 8, 8, seed=1)},
        {"cell": Cell("dwconv7", 8, 8, params=(("backend", "fft"),))},
        {"metric": "memory"},
        {"protocol": Timing(rounds=6)},
        {"code": "edited"},
    ],
)
def test_every_setting_that_affects_the_value_changes_the_key(other):
    job = Job(Cell("dwconv7", 8, 8), "latency", Timing(), "code")
    assert replace(job, **other).key() != job.key()


def test_a_group_holds_the_methods_of_one_setting():
    def group(**cell):
        return Job(Cell(**{"method": "dwconv7", "height": 8, "width": 8, **cell}), "latency", Timing(), "code").group()

    assert group(method="niff", kernel=5, params=(("a", 1),)) == group()
    assert group(width=9) != group()
    assert group(dtype="bf16") != group()


def test_labels_name_what_was_overridden():
    assert Cell("niff", 8, 8).label == "niff"
    assert Cell("niff", 8, 12, params=(("hidden", 16),), kernel=31).label == "niff[hidden=16,kernel=31]"
    assert (Cell("niff", 8, 8).res, Cell("niff", 8, 12).res) == ("8", "8x12")


@pytest.mark.parametrize(
    ("cell", "series"),
    [
        ({"params": (("hidden", 16),), "kernel": 31}, "niff[hidden=16]"),
        ({"kernel": 31}, "niff"),
        ({"params": (("hidden", 16),)}, "niff[hidden=16]"),
        ({}, "niff"),
        ({"network": "mixer[kernel=7]", "kernel": 31}, "mixer[kernel=7] + niff"),
        ({"network": "resnet18", "method": ORIGINAL}, "resnet18"),
        ({"params": (("kernel", 3),), "kernel": 31, "alias": "again"}, "niff[kernel=3] (again)"),
    ],
)
def test_a_series_is_the_label_without_the_kernel_size(cell, series):
    assert Cell(**{"method": "niff", "height": 8, "width": 8, **cell}).series == series


def test_the_operator_is_the_label_without_the_network():
    inside = Cell("niff", 8, 8, params=(("hidden", 16),), kernel=31, level="model", network="mixer[depth=2]", alias="again")
    assert inside.operator == "niff[hidden=16,kernel=31] (again)"
    assert replace(inside, network="").operator == inside.operator
    assert inside.label == f"mixer[depth=2] + {inside.operator}"
    assert Cell(ORIGINAL, 8, 8, level="model", network="resnet18").operator == ORIGINAL


def test_the_digest_does_not_depend_on_order_or_process():
    assert digest({"b": 1, "a": [1, 2]}) == digest({"a": [1, 2], "b": 1}) == "94a786c3662bc7be"


def test_a_protocol_name_ends_in_the_digest_of_all_settings_but_method_and_seed():
    cell, protocol = Cell("niff", 16, 16, network="mixer[depth=2]"), Training()
    digits = protocol_digest(cell, protocol)
    assert protocol_name(cell, protocol) == f"digits 16 px, mixer[depth=2], 10 epochs, {digits}" and len(digits) == 6
    assert protocol_digest(replace(cell, method="conv3", seed=3), protocol) == digits
    others = [
        (replace(cell, network="mixer"), protocol),
        (replace(cell, device="cuda:0"), protocol),
        (cell, replace(protocol, ema=0.9)),
    ]
    assert digits not in {protocol_digest(*other) for other in others}
    assert protocol_digest(replace(cell, device="cuda:1"), protocol) == protocol_digest(*others[1])


def test_a_failed_record_holds_no_values():
    record = Record(Job(Cell("x", 1, 1), "flops", Protocol()), "oom", "why")
    assert record.values == {}


def test_evaluations_are_read_from_objects_and_from_the_mapping_of_older_versions():
    older = {"16": 91.0, "24 native": 80, "32 pad_kernel": "oom: no room: 16 MB", "32 native": "unsupported: "}
    evaluations = [
        Evaluation(16, "", 91.0),
        Evaluation(24, "native", 80),
        Evaluation(32, "pad_kernel", None, "oom", "no room: 16 MB"),
        Evaluation(32, "native", None, "unsupported", ""),
    ]
    assert read_evaluations(older) == evaluations
    assert read_evaluations(json.loads(json.dumps([vars(one) for one in evaluations]))) == evaluations
    assert read_evaluations([]) == read_evaluations({}) == []


def test_every_method_is_trained_on_each_data_set_with_each_seed_seed_by_seed():
    jobs = jobs_of("accuracy", data=("digits", "farpair[distance=6]"), seeds=(0, 1), training=Training(res=16))
    found = [(job.protocol.data, job.cell.seed, job.cell.method) for job in jobs]
    both = [(seed, method) for seed in (0, 1) for method in ("dwconv3", "dwconv7")]
    assert found == [(data, *rest) for data in ("digits", "farpair[distance=6]") for rest in both]


def test_a_library_network_is_measured_as_published_too_and_our_own_alone():
    networks = ("mixer[depth=1]", "resnet18", "dfformer_s18")
    jobs = plan(grid(("niff",), ((32, 32),), level="model", networks=networks), ["flops"], KNOWN, CODE | {ORIGINAL: "code"})
    assert [job.cell.label for job in jobs] == ["mixer[depth=1] + niff", "resnet18", "resnet18 + niff", "dfformer_s18"]
    assert len({job.group() for job in jobs}) == 1
