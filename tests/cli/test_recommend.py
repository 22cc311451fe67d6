"""The command `recommend`: its text, its JSON, and the command that it suggests."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.journal import JOURNAL, Writer
from bench.report.recommend import answer
from bench.report.recommend import text as recommend_text
from tests.builders import ENV, QUERY, journal, latency, memory, query, seeded, steady, this_machine

pytestmark = pytest.mark.usefixtures(this_machine.__name__)
COMMANDS = {
    "plain": ({}, "--methods all --res 56 --channels 64 --metrics params,flops,latency,memory -o results/local"),
    "axes": (
        {"res": (56, 64), "mode": "train", "threads": 2, "device": "cuda:0"},
        "--methods all --res 56x64 --channels 64 --device cuda:0 --mode train --threads 2 --metrics params,flops,latency,memory"
        " -o results/local",
    ),
    "accuracy": (
        {"min_accuracy": 90, "data": "farpair[distance=6]"},
        "--methods all --res 56 --channels 64 --metrics params,flops,latency,memory,accuracy --seeds 3 --data 'farpair[distance=6]'"
        " -o results/local",
    ),
}


@pytest.mark.parametrize(("wanted", "options"), COMMANDS.values(), ids=COMMANDS)
def test_what_must_be_run_is_a_command_that_parses(wanted, options):
    found = answer.suggested_command(answer.Answer(query(**wanted), ()), "results/local")
    assert found == f"python -m bench run {options}"
    words = shlex.split(found)[4:]
    main.get_command(None, "run").make_context("run", words)


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    with Writer(folder / "run" / JOURNAL) as writer:
        writer.env(ENV)
        writer.run({"command": "x", "started": 1.0, "baseline": "dwconv7"})
        for record in (
            *(steady("dwconv7", 1.0), steady("fast", 0.5), steady("near", 0.75), latency("dead", 0, "timeout", "after 300 s")),
            *(memory("fast", 2e6), memory("dwconv7", 1e6), memory("near", 3e6), *seeded("fast", 99.0, 98.0, 98.5)),
        ):
            writer.record(record)
    return folder


def ask(results, *words):
    return CliRunner().invoke(main, ["recommend", str(results), *words], catch_exceptions=False)


def test_the_verb_shows_the_evidence(results):
    told = ask(results, "--res", "56", "--channels", "64", "--max-latency", "0.8ms", "--max-memory", "2MB")
    assert told.exit_code == 0, told.output
    lines = [" ".join(line.split()) for line in told.output.splitlines()]
    assert (
        lines[0] == "any device, 1 thread on a CPU, fp32, inference, batch 1, 64 channels, 56 px, at most 0.800 ms, at most 2.00 MB"
    )
    assert "Recommended: fast" in lines
    assert "fast 0.500 ±1.0% 2.00x ±0.0% 2.00 8 run, 1970-01-01" in lines
    assert "near: memory 3.00 MB, at most 2.00 MB" in lines
    assert "dwconv7: latency 1.00 ms [0.990, 1.01], at most 0.800 ms" in lines
    assert "dead: latency timeout: after 300 s; memory not measured" in lines


def test_the_verb_names_the_protocol_of_an_accuracy(results):
    told = ask(results, "--res", "56", "--channels", "64", "--min-accuracy", "90")
    assert told.exit_code == 0
    text = " ".join(told.output.split())  # where lines break depends on the folder's name
    assert "of a network with the operator at 16 px" in text and "digits 16 px" in text
    assert "98.5 ±1.2" in told.output


def test_nothing_that_suits_is_exit_1(results):
    told = ask(results, "--res", "56", "--channels", "64", "--max-latency", "0.1ms")
    assert told.exit_code == 1
    assert "No recommendation" in told.output and "To measure" not in told.output


def test_nothing_measured_is_exit_1_with_the_command_and_the_nearest(results):
    told = ask(results, "--res", "512", "--channels", "96", "--max-latency", "5ms")
    assert told.exit_code == 1
    assert "has no measurement at this setting" in " ".join(told.output.split())
    assert "  cpu, 1 thread, fp32, inference, batch 1, 64 channels, 56 px (run)" in told.output
    assert "python -m bench run --methods all --res 512 --channels 96" in told.output


def test_an_empty_folder_is_answered_too(tmp_path):
    told = ask(tmp_path, "--res", "56", "--channels", "64")
    assert told.exit_code == 1 and "Nearest" not in told.output and "python -m bench run" in told.output


def test_a_task_without_an_accuracy_limit_is_an_error(results):
    told = ask(results, "--res", "56", "--channels", "64", "--data", "digits")
    assert told.exit_code == 2 and "--data selects the data set of --min-accuracy" in told.output


def test_for_programs(results):
    told = ask(results, "--res", "56", "--channels", "64", "--max-latency", "0.8ms", "--json")
    found = json.loads(told.output, parse_constant=pytest.fail)
    assert "recommended" not in found and found["run"] is None
    (place,) = found["machines"]
    assert place["recommended"] == ["fast"]
    assert [one["label"] for one in place["candidates"]] == ["fast", "near", "dwconv7", "dead"]
    assert [one["state"] for one in place["candidates"]] == ["satisfied", "satisfied", "violated", "not measured"]
    assert place["candidates"][0]["speedup"] == 2.0 and place["candidates"][-1]["latency_ms"] is None
    absent = json.loads(ask(results, "--res", "8", "--channels", "64", "--json").output)
    assert absent["machines"] == [] and absent["run"].startswith("python -m bench run") and absent["nearest"][0]["height"] == 56


def test_runs_with_other_baselines_share_a_table():
    other = replace(journal(steady("niff", 2.0, session=2.0), name="other"), runs=[{"command": "y", "started": 2.0}])
    found = answer.recommend([journal(steady("dwconv7", 1.0), memory("dwconv7", 10**6)), other], QUERY)
    lines = recommend_text.text(found, Path("results"), 132).splitlines()
    assert [line.split()[0] for line in lines if line.endswith(("run, 1970-01-01", "other, 1970-01-01"))] == ["dwconv7", "niff"]
    assert any("vs dwconv7" in line for line in lines) and not any("vs none" in line for line in lines)
