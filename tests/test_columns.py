"""Declarations of metrics: what is read, and which mistakes are errors."""

import subprocess
import sys

import pytest

from bench import metrics
from bench.columns import COLUMNS, DEFAULT_METRICS, METRICS, read_metrics

HEAD = 'METRIC = Metric(columns=(Column("loss", better="lower"), Column("note")){})\n'


def declared(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return read_metrics(folder)


def test_a_declaration_is_read_without_importing_the_file(tmp_path):
    found = declared(tmp_path, second="import absent\n" + HEAD.format(", default=False"), _helper="no metric")
    assert list(found) == ["second"]
    assert [(column.name, column.metric) for column in found["second"].columns] == [("loss", "second"), ("note", "second")]
    assert not found["second"].default and found["second"].headline.name == "loss"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\n", "one.py declares no METRIC"),
        ("METRIC = Metric(\n", "one.py: .*was never closed"),
        (HEAD.format(", cals=1"), "one.py: METRIC: .*unexpected keyword argument 'cals'"),
        (HEAD.format(", calls=N"), "one.py: METRIC: name 'N' is not defined"),
        (HEAD.format(", change='twice'"), "change is one of exact, rounds, interval, points, not 'twice'"),
        ('METRIC = Metric(columns=(Column("loss"),))\n', "the first column of a metric needs a better direction: loss"),
        ('METRIC = Metric(columns=(Column("loss", better="small"),))\n', "loss: better is lower, higher or empty, not 'small'"),
    ],
)
def test_mistakes_name_file_and_reason(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        declared(tmp_path, one=text)


def test_two_metrics_with_one_column_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"two\.py: column loss belongs to the metric one"):
        declared(tmp_path, one=HEAD.format(""), two=HEAD.format(""))


def test_a_mistake_is_one_line_on_the_command_line(tmp_path):
    program = (
        "import bench.cli, importlib\n"
        "def broken(name): raise ValueError('gain.py: METRIC: a mistake')\n"
        "bench.cli.importlib.import_module = broken\n"
        "bench.cli.main(['list'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1 and done.stderr == "Error: gain.py: METRIC: a mistake\n"


def test_the_metrics_of_the_harness():
    assert list(METRICS) == ["params", "flops", "latency", "memory", "energy", "properties", "accuracy"]
    assert DEFAULT_METRICS == ("params", "flops", "latency", "memory", "accuracy")
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    assert {name for name, metric in METRICS.items() if metric.interleaved} == {"latency", "energy"}


def test_a_measure_that_never_yields_is_an_error(monkeypatch):
    from bench.metrics import params

    monkeypatch.setattr(params, "measure", lambda workload, protocol: None)
    with pytest.raises(TypeError, match="must yield after each round"):
        metrics.get("params")
