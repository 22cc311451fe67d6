"""Two runs cell by cell: what is matched, what is not comparable, what a reader sees and what a program is told."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from bench import journal as store
from bench.cli import main
from bench.report.compare.comparable import differences, needed
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
    """A record whose rounds, or whose interval, are within 1%."""
    values = {VALUES[metric]: value, "contended": 0}
    rounds = {"clean": [value * (1 + 0.003 * turn) for turn in (-2, -1, 0, 0, 1, 2)]} if metric == "latency" else {}
    if metric == "energy":
        values |= {"energy_lo_j": value / 1.01, "energy_hi_j": value * 1.01, "energy_windows": 3}
    job = Job(Cell(method, 56, 56, **cell), metric, protocol or PROTOCOLS.get(metric, Protocol()), "c")
    return Record(job, status, detail, values if status == "ok" else {}, rounds if status == "ok" else {}, env="e")


@pytest.fixture
def runs(tmp_path):
    """A function that writes the records of two runs and compares them."""

    def compared(a, b, *words, env_b=None):
        for name, records, env in (("a", a, ENV), ("b", b, ENV | (env_b or {}))):
            with store.Writer(tmp_path / name / store.NAME) as writer:
                writer.env(env)
                writer.run({"command": "x", "started": 1.0, "commit": f"commit-{name}"})
                for one in records:
                    writer.record(replace(one, session=1.0 if name == "a" else 2.0))
        given = [str(tmp_path / "a"), str(tmp_path / "b"), *words]
        return CliRunner().invoke(main, ["compare", *given], catch_exceptions=False)

    return compared


def verdicts(result):
    return {cell["label"]: cell["verdict"] for cell in json.loads(result.output)["cells"]}


def test_latencies_are_judged_by_their_interval(runs):
    a = [record(name, 1.0) for name in ("one", "two", "three", "four")]
    noisy = replace(record("four", 1.0), rounds={"clean": [0.8, 0.9, 1.0, 1.1, 1.2, 1.3]})
    b = [record("one", 1.02), record("two", 1.2), record("three", 0.8), noisy]
    result = runs(a, b, "--json")
    assert verdicts(result) == {"one": "same", "two": "slower", "three": "faster", "four": "unclear"}
    change = json.loads(result.output)["cells"][1]["change"]
    assert change["mid"] == pytest.approx(1.2)
    assert 1.19 < change["lo"] < 1.2 < change["hi"] < 1.21
    assert result.exit_code == 0


def test_a_gate_fails_on_what_is_slower_only(runs):
    a = [record("one", 1.0), record("two", 1.0)]
    assert runs(a, [record("one", 1.02), record("two", 0.5)], "--fail-on", "slower").exit_code == 0
    worse = runs(a, [record("one", 1.02), record("two", 1.07)], "--fail-on", "slower")
    assert worse.exit_code == 1
    assert "2 cells: 1 slower, 1 same" in worse.output


def test_the_threshold_is_the_region(runs):
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


def test_a_count_from_nothing_has_no_finite_ratio(runs):
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
    assert "B less A in points; a difference within 5 points is none" in text
    assert "50.0 -> 44.0  -6.0  worse" in text


def test_another_machine_is_not_comparable_and_is_named(runs):
    result = runs([record("one", 1.0)], [record("one", 9.0)], env_b={"torch": "2.8", "cores": 4})
    assert "not comparable (1), A / B: torch 2.9 / 2.8; cores 2 / 4" in result.output
    assert "1 cell: 1 not comparable" in result.output
    assert result.exit_code == 0


def test_a_gate_that_can_compare_nothing_does_not_pass(runs):
    result = runs([record("one", 1.0)], [record("one", 1.0)], "--fail-on", "slower", env_b={"malloc": "default"})
    assert result.exit_code == 2


def test_the_processor_does_not_matter_to_a_count(runs):
    a, b = [record("one", 10, "params")], [record("one", 10, "params")]
    result = runs(a, b, "--metric", "params", "--json", env_b={"cpu": "Q", "torch": "2.8"})
    assert verdicts(result) == {"one": "same"}


def test_what_a_figure_depends_on():
    assert needed("params", "cpu") == ()
    assert needed("flops", "cuda:0") == ("torch",)
    assert "cpu" not in needed("memory", "cpu")
    assert {"torch", "cpu", "cores", "malloc"} <= set(needed("latency", "cpu"))
    assert {"gpu", "driver", "torch"} <= set(needed("energy", "cuda:0"))
    assert "driver" not in needed("accuracy", "cuda:0")


def test_a_gpu_is_that_of_the_cell():
    one, other = (record("one", 1.0, device=f"cuda:{index}") for index in (0, 1))
    env = {"gpus": ["H200", "T4"]}
    assert differences(one, one, env, env | {"gpus": ["H200", "L4"]}) == []
    assert differences(other, other, env, env | {"gpus": ["H200", "L4"]}) == ["gpu T4 / L4"]
    assert differences(other, other, env, {"gpus": ["H200"]}) == ["gpu T4 / unknown"]


def test_a_protocol_is_matched_where_both_runs_have_it(runs):
    cold, hot = (replace(PROTOCOLS["latency"], timer=timer) for timer in ("cold", "hot"))
    a = [record("one", 1.0, protocol=cold), record("one", 5.0, protocol=hot)]
    both = json.loads(runs(a, [record("one", 5.0, protocol=hot)], "--json").output)["cells"]
    assert [(cell["a"], cell["b"], cell["verdict"]) for cell in both] == [(1.0, None, "only in A"), (5.0, 5.0, "same")]


def test_another_protocol_is_not_comparable_more_rounds_are(runs):
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
def test_a_cell_without_two_figures(runs, a, b, verdict, code):
    """Each has a word, a reason where it has a record, and a failure an exit status that a regression beside it does not hide."""
    fine = [record("fine", 1.0)], [record("fine", 2.0)]
    records = [[record("one", 1.0, status=status, detail="because")] if status else [] for status in (a, b)]
    result = runs(*(some + more for some, more in zip(fine, records)), "--fail-on", "slower")
    assert result.exit_code == (code or 1)
    note = next(line for line in result.output.splitlines() if line.startswith(f"{verdict}: one; "))
    said = " ".join(result.output[result.output.index(note) :].split())
    for side, status in (("A", a), ("B", b)):
        assert (f"{side} {status}: because" in said) == (status not in (None, "ok"))
    assert f"1 {verdict}" in result.output.splitlines()[-1]


def test_other_sources_are_what_a_comparison_is_about(runs):
    b = record("one", 1.2)
    assert verdicts(runs([record("one", 1.0)], [replace(b, job=replace(b.job, code="new"))], "--json")) == {"one": "slower"}


def test_settings_are_apart_and_options_are_part_of_the_cell(runs):
    a = [record("one", 1.0), record("one", 2.0, mode="train"), record("one", 3.0, params=(("hidden", 3),))]
    text = runs(a, a).output
    assert text.count("  one            1.00 -> 1.00  1.00x [") == 1
    assert "cpu, 1 thread, fp32, training step, batch 1, 64 channels, 56 px\n  one            2.00 -> 2.00" in text
    assert "  one[hidden=3]  3.00 -> 3.00  1.00x [" in text
    assert "(commit commit-b)" in text


@pytest.mark.parametrize("width", [46, 60, 100])
def test_it_fits_the_terminal(runs, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    a = [record("a_rather_long_name", 1.0, kernel=31), record("short", 1.0), record("gone", 1.0)]
    b = [record("a_rather_long_name", 1.1, kernel=31), record("short", 1.0), record("gone", 0, status="oom", detail="x " * 60)]
    lines = runs(a, b).output.splitlines()[3:]
    assert max(map(len, lines)) <= width
    assert any("1.10x [" in line and line.endswith("slower") for line in lines)


def test_bad_input_is_one_sentence_and_exit_2(runs, tmp_path):
    def said(*words):
        result = CliRunner().invoke(main, ["compare", *map(str, words)], catch_exceptions=False)
        assert result.exit_code == 2
        return " ".join(result.output.split())

    runs([record("one", 1.0)], [record("one", 1.0)])
    a, b = tmp_path / "a", tmp_path / "b"
    assert "there is no run" in said(a, tmp_path / "absent")
    assert "no journal.jsonl in" in said(a, tmp_path)
    assert "is not below 100%" in said(a, b, "--threshold", "5")
    assert "has no record of energy" in said(a, b, "--metric", "energy")
    assert "'speed' is not one of" in said(a, b, "--metric", "speed")
    (b / store.NAME).write_text("rubbish\n")
    assert "line 1 is not a journal line" in said(a, b)


def test_a_journal_may_be_named_itself_and_no_torch_is_loaded(runs, tmp_path):
    runs([record("one", 1.0)], [record("one", 1.0)])
    words = ["compare", str(tmp_path / "a" / store.NAME), str(tmp_path / "b")]
    program = f"import sys\nfrom bench.cli import main\ntry:\n main({words!r})\nexcept SystemExit as end:\n assert end.code == 0\n"
    program += "assert not {'torch', 'pandas'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
