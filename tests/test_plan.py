"""The jobs of a sweep over networks: which methods are measured in which network."""

from __future__ import annotations

import methods
from bench.plan import IMAGE_CHANNELS, methods_inside, plan
from bench.spec import ORIGINAL, Training
from tests.builders import grid

KNOWN = {entry.name: entry for entry in methods.catalogue()}
CODE = dict.fromkeys((*KNOWN, ORIGINAL), "code")


def jobs_of(*metrics, **axes):
    default = {"methods": ("niff", "dwconv"), "res": ((32, 32), (64, 64)), "level": "model", "networks": ("resnet18", "mixer")}
    return plan(grid(**default | axes), metrics, KNOWN, CODE)


def labels(jobs):
    return [job.cell.label for job in jobs]


def test_the_methods_measured_in_a_network():
    assert (
        methods_inside("resnet18", ("niff",)) == methods_inside("torchvision/vgg11[where=dense]", ("niff",)) == (ORIGINAL, "niff")
    )
    assert methods_inside("mixer[depth=3]", ("niff",)) == ("niff",)
    assert methods_inside("niff_resnet18", ("niff",)) == (ORIGINAL,)
    assert methods_inside("", ("niff",)) == ("niff",)


def test_a_network_is_measured_as_published_and_with_each_method():
    jobs = jobs_of("flops", res=((32, 32),), kernel=(5, 9))
    inside = ["niff", "dwconv[kernel=5]", "dwconv[kernel=9]"]
    assert labels(jobs) == ["resnet18", *(f"resnet18 + {one}" for one in inside), *(f"mixer + {one}" for one in inside)]
    assert {job.cell.kernel for job in jobs if job.cell.method in (ORIGINAL, "niff")} == {None}


def test_networks_ignore_the_channels_axis():
    assert {job.cell.channels for job in jobs_of("flops", channels=(64, 128))} == {IMAGE_CHANNELS}


def test_all_networks_of_a_resolution_are_one_group():
    groups = {}
    for job in jobs_of("latency", kernel=(5,)):
        groups.setdefault(job.group(), []).append(job.cell)
    assert [{cell.height for cell in group} for group in groups.values()] == [{32}, {64}]
    assert [len(group) for group in groups.values()] == [5, 5]


def test_without_methods_networks_are_measured_as_published():
    assert labels(jobs_of("flops", methods=(), res=((32, 32),))) == ["resnet18"]


def test_accuracy_is_planned_once_for_all_resolutions_of_a_network():
    jobs = jobs_of("accuracy", methods=("niff",), training=Training(res=24), seeds=(0, 1))
    assert labels(jobs) == ["resnet18", "resnet18 + niff", "mixer + niff"] * 2
    assert {(job.cell.height, job.cell.width, job.cell.mode) for job in jobs} == {(24, 24, "train")}
