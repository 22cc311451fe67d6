"""Comparison of two runs: matching of cells, comparability, text and JSON."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.journal import JOURNAL, Writer
from bench.report.compare.comparable import differences, relevant_facts
from bench.spec import PROTOCOLS, Cell, Job, Protocol, Record, Timing

ENV = {"id": "e", "cpu": "P", "cores": 2, "libc": "g 1", "torch": "2.9", "cpu_capability": "AVX2", "malloc": "tuned", "gpus": []}
ENV |= {"timm": "1", "commit": None}
VALUES = {
    "params": "params_count",
    "flops": "flops",
    "memory": "mem_peak_bytes",
    "accuracy": "accuracy",
    "latency": "latency_ms",
    "energy": "energy_j",
}


def record(method, value, metric="latency", status="ok", detail="", protocol=None, **cell):
    """Return a record whose rounds or interval are within 1%."""
    values = {VALUES[metric]: value, "contended": 0}
    rounds = {"clean": [value * (1 + 0.003 * turn) for turn in (-2, -1, 0, 0, 1, 2)]} if metric == "latency" else {}
    if metric == "energy":
        values |= {"energy_lo_j": value / 1.01, "energy_hi_j": value * 1.01, "energy_windows": 3}
    job = Job(Cell(method, 56, 56, **cell), metric, protocol or PROTOCOLS.get(metric, Protocol()), "c")
    return Record(job, status, detail, values if status == "ok" else {}, rounds if status == "ok" else {}, env="e")


@pytest.fixture
def runs(tmp_path):
    """Return a function that writes the records of two runs and compares them."""

    def compared(a, b, *options, env_b=None):
        for name, records, env in (("a", a, ENV), ("b", b, ENV | (env_b or {}))):
            with Writer(tmp_path / name / JOURNAL) as writer:
                writer.env(env)
                writer.run({"command": "x", "started": 1.0, "commit": f"commit-{name}"})
                for measured in records:
                    writer.record(replace(measured, session=1.0 if name == "a" else 2.0))
        arguments = [str(tmp_path / "a"), str(tmp_path / "b"), *options]
        return CliRunner().invoke(main, ["compare", *arguments], catch_exceptions=False)

    return compared


def verdicts(result):
    return {cell["label"]: cell["verdict"] for cell in json.loads(result.output)["cells"]}


def test_verdict_on_latencies_uses_the_interval(runs):
    a = [record(name, 1.0) for name in ("one", "two", "three", "four")]
    noisy = replace(record("four", 1.0), rounds={"clean": [0.8, 0.9, 1.0, 1.1, 1.2, 1.3]})
    b = [record("one", 1.02), record("two", 1.2), record("three", 0.8), noisy]
    result = runs(a, b, "--json")
    assert verdicts(result) == {"one": "same", "two": "slower", "three": "faster", "four": "unclear"}
    change = json.loads(result.output)["cells"][1]["change"]
    assert change["mid"] == pytest.approx(1.2)
    assert 1.19 < change["lo"] < 1.2 < change["hi"] < 1.21
    assert result.exit_code == 0


def test_gate_fails_only_on_slower_cells(runs):
    a = [record("one", 1.0), record("two", 1.0)]
    assert runs(a, [record("one", 1.02), record("two", 0.5)], "--fail-on", "slower").exit_code == 0
    worse = runs(a, [record("one", 1.02), record("two", 1.07)], "--fail-on", "slower")
    assert worse.exit_code == 1
    assert "2 cells: 1 slower, 1 same" in worse.output


def test_threshold_is_the_region_of_equivalence(runs):
    a, b = [record("one", 1.0)], [record("one", 1.1)]
    assert runs(a, b, "--fail-on", "slower", "--threshold", "20%").exit_code == 0
    assert runs(a, b, "--fail-on", "slower", "--threshold", "0.05").exit_code == 1


@pytest.mark.parametrize("metric", ["params", "flops", "memory", "energy"])
def test_other_metrics_are_better_or_worse(runs, metric):
    a = [record(name, 1000.0, metric) for name in ("one", "two", "three")]
    b = [record("one", 1000.0, metric), record("two", 1200.0, metric), record("three", 500.0, metric)]
    result = runs(a, b, "--metric", metric, "--json", "--fail-on", "slower")
    assert verdicts(result) == {"one": "same", "two": "worse", "three": "better"}
    assert result.exit_code == 1
    change = json.loads(result.output)["cells"][1]["change"]
    assert change["mid"] == pytest.approx(1.2)
    assert (change["lo"] == change["hi"]) == (metric != "energy")


def test_increase_from_zero_has_no_finite_ratio(runs):
    result = runs([record("one", 0, "flops"), record("two", 0, "flops")], [record("one", 5, "flops"), record("two", 0, "flops")],
                  "--metric", "flops", "--json")  # fmt: skip
    assert verdicts(result) == {"one": "worse", "two": "same"}
    assert json.loads(result.output)["cells"][0]["change"]["mid"] is None
    assert "from 0" in runs([], [], "--metric", "flops").output


def test_accuracy_is_compared_in_points_and_higher_is_better(runs):
    a = [record(name, 50.0, "accuracy") for name in ("one", "two", "three")]
    b = [record("one", 54.0, "accuracy"), record("two", 44.0, "accuracy"), record("three", 56.0, "accuracy")]
    assert verdicts(runs(a, b, "--metric", "accuracy", "--json")) == {"one": "same", "two": "worse", "three": "better"}
    text = runs([], [], "--metric", "accuracy").output
    assert "B minus A in points; differences within 5 points count as the same" in text
    assert "50.0 -> 44.0  -6.0  worse" in text


def test_different_machines_are_not_comparable(runs):
    result = runs([record("one", 1.0)], [record("one", 9.0)], env_b={"torch": "2.8", "cores": 4})
    assert "not comparable (1), A / B: torch 2.9 / 2.8; cores 2 / 4" in result.output
    assert "1 cell: 1 not comparable" in result.output
    assert result.exit_code == 0


def test_gate_fails_if_no_cell_is_comparable(runs):
    result = runs([record("one", 1.0)], [record("one", 1.0)], "--fail-on", "slower", env_b={"malloc": "default"})
    assert result.exit_code == 2


def test_parameters_do_not_depend_on_the_cpu(runs):
    a, b = [record("one", 10, "params")], [record("one", 10, "params")]
    result = runs(a, b, "--metric", "params", "--json", env_b={"cpu": "Q", "torch": "2.8"})
    assert verdicts(result) == {"one": "same"}


def test_relevant_facts_per_metric():
    assert relevant_facts("params", "cpu") == ()
    assert relevant_facts("flops", "cuda:0") == ("torch",)
    assert "cpu" not in relevant_facts("memory", "cpu")
    assert {"torch", "cpu", "cores", "malloc"} <= set(relevant_facts("latency", "cpu"))
    assert {"gpu", "driver", "torch"} <= set(relevant_facts("energy", "cuda:0"))
    assert "driver" not in relevant_facts("accuracy", "cuda:0")


def test_gpu_is_that_of_the_device_of_the_cell():
    one, other = (record("one", 1.0, device=f"cuda:{index}") for index in (0, 1))
    env = {"gpus": ["H200", "T4"]}
    assert differences(one, one, env, env | {"gpus": ["H200", "L4"]}) == []
    assert differences(other, other, env, env | {"gpus": ["H200", "L4"]}) == ["gpu T4 / L4"]
    assert differences(other, other, env, {"gpus": ["H200"]}) == ["gpu T4 / unknown"]


def test_records_are_matched_by_protocol_if_both_runs_have_it(runs):
    cold, hot = (replace(PROTOCOLS["latency"], timer=timer) for timer in ("cold", "hot"))
    a = [record("one", 1.0, protocol=cold), record("one", 5.0, protocol=hot)]
    both = json.loads(runs(a, [record("one", 5.0, protocol=hot)], "--json").output)["cells"]
    assert [(cell["a"], cell["b"], cell["verdict"]) for cell in both] == [(1.0, None, "only in A"), (5.0, 5.0, "same")]


def test_protocols_differing_only_in_rounds_are_comparable(runs):
    a = [record("one", 1.0), record("two", 1.0)]
    b = [record("one", 1.0, protocol=Timing(timer="hot")), record("two", 1.0, protocol=Timing(rounds=99, max_rounds=99))]
    result = runs(a, b, "--json")
    assert verdicts(result) == {"one": "not comparable", "two": "same"}
    assert json.loads(result.output)["cells"][0]["reason"] == "protocol timer wall / hot"


@pytest.mark.parametrize(
    ("a", "b", "verdict", "code"),
    [
        ("ok", "oom", "failed", 3),
        ("oom", "ok", "failed", 3),
        ("ok", "skipped", "failed", 3),
        ("ok", "unsupported", "failed", 3),
        ("crashed", "crashed", "failed", 3),
        (None, "timeout", "failed", 3),
        ("error", None, "failed", 3),
        ("skipped", "ok", "only in B", 0),
        ("unsupported", "unsupported", "not measured", 0),
        ("unsupported", None, "not measured", 0),
        ("ok", None, "only in A", 0),
        (None, "ok", "only in B", 0),
    ],
)
def test_cell_without_two_values(runs, a, b, verdict, code):
    """Each has a verdict and, if it has a record, a reason; the exit status of a failure overrides that of a regression."""
    fine = [record("fine", 1.0)], [record("fine", 2.0)]
    records = [[record("one", 1.0, status=status, detail="because")] if status else [] for status in (a, b)]
    result = runs(*(some + more for some, more in zip(fine, records)), "--fail-on", "slower")
    assert result.exit_code == (code or 1)
    note = next(line for line in result.output.splitlines() if line.startswith(f"{verdict}: one; "))
    text = " ".join(result.output[result.output.index(note) :].split())
    for side, status in (("A", a), ("B", b)):
        assert (f"{side} {status}: because" in text) == (status not in (None, "ok"))
    assert f"1 {verdict}" in result.output.splitlines()[-1]


def test_different_sources_are_compared(runs):
    b = record("one", 1.2)
    assert verdicts(runs([record("one", 1.0)], [replace(b, job=replace(b.job, code="new"))], "--json")) == {"one": "slower"}


def test_settings_have_separate_tables_and_options_are_part_of_the_cell(runs):
    a = [record("one", 1.0), record("one", 2.0, mode="train"), record("one", 3.0, params=(("hidden", 3),))]
    text = runs(a, a).output
    assert text.count("  one            1.00 -> 1.00  1.00x [") == 1
    assert "cpu, 1 thread, fp32, training step, batch 1, 64 channels, 56 px\n  one            2.00 -> 2.00" in text
    assert "  one[hidden=3]  3.00 -> 3.00  1.00x [" in text
    assert "(commit commit-b)" in text


@pytest.mark.parametrize("width", [46, 60, 100])
def test_text_fits_the_terminal(runs, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    a = [record("a_rather_long_name", 1.0, kernel=31), record("short", 1.0), record("gone", 1.0)]
    b = [record("a_rather_long_name", 1.1, kernel=31), record("short", 1.0), record("gone", 0, status="oom", detail="x " * 60)]
    lines = runs(a, b).output.splitlines()[3:]
    assert max(map(len, lines)) <= width
    assert any("1.10x [" in line and line.endswith("slower") for line in lines)


def test_bad_input_gives_one_sentence_and_exit_status_2(runs, tmp_path):
    def error(*arguments):
        result = CliRunner().invoke(main, ["compare", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 2
        return " ".join(result.output.split())

    runs([record("one", 1.0)], [record("one", 1.0)])
    a, b = tmp_path / "a", tmp_path / "b"
    assert "no such run" in error(a, tmp_path / "absent")
    assert "no journal.jsonl in" in error(a, tmp_path)
    assert "is not below 100%" in error(a, b, "--threshold", "5")
    assert "has no record of energy" in error(a, b, "--metric", "energy")
    assert "'speed' is not one of" in error(a, b, "--metric", "speed")
    (b / JOURNAL).write_text("rubbish\n")
    assert "line 1 is not a journal line" in error(a, b)


def test_journal_path_is_accepted_and_torch_is_not_imported(runs, tmp_path):
    runs([record("one", 1.0)], [record("one", 1.0)])
    arguments = ["compare", str(tmp_path / "a" / JOURNAL), str(tmp_path / "b")]
    program = f"import sys\nfrom bench.cli import main\ntry:\n main({arguments!r})\n"
    program += "except SystemExit as end:\n assert end.code == 0\nassert not {'torch', 'pandas'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
