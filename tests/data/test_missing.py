"""Missing, invalid and killed: errors of data sets before and during a run."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from bench import data
from tests.data.image_files import classes


def test_missing_files_are_reported_without_torch():
    code = (
        "import sys; from bench import data\n"
        "assert 'test_batch' in data.DataSet('cifar10').missing() or 'data_batch' in data.DataSet('cifar10').missing()\n"
        "assert data.DataSet('digits').missing() is data.DataSet('farpair[distance=6]').missing() is None\n"
        "assert len(data.summaries()) == len(data.names()) and all(data.summaries().values())\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("folder", "missing a required argument: 'path'"),
        ("cifar10:here", "too many positional arguments"),
        ("cifar11", "unknown data set 'cifar11' .known: cifar10, cifar100"),
        ("cifar10[size=3]", "has no option 'size' .options: none"),
        ("farpair[reach=3]", "has no option 'reach' .options: distance, train, validation, test"),
    ],
)
def test_invalid_data_set_is_rejected(text, reason):
    with pytest.raises(ValueError, match=reason):
        data.DataSet(text).missing()


def test_failed_download_is_a_one_line_error_before_imports(root, monkeypatch):
    def offline(*rest, **options):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(OSError, match=r"'cifar10' could not be downloaded to .*data: no network"):
        data.DataSet("cifar10").fetch()
    assert not root.exists()


def test_fetch_downloads_only_missing_data_sets(monkeypatch):
    from torchvision.datasets import EuroSAT

    asked = []
    monkeypatch.setattr(data, "_check_server", lambda url: None)
    monkeypatch.setattr(EuroSAT, "download", lambda self: (asked.append(self), classes(data.root() / "eurosat" / "2750", 2, 2)))
    data.DataSet("eurosat").fetch()
    data.DataSet("eurosat").fetch()
    data.DataSet("digits").fetch()
    assert len(asked) == 1


def command(*words, **environment):
    line = [sys.executable, "-m", "bench", "run", "--res", "8", "--metrics", "accuracy", "--train-res", "8", *words]
    return subprocess.run(line, check=False, env=os.environ | environment, capture_output=True, text=True, timeout=110)


def test_run_without_its_data_fails_immediately(tmp_path, root):
    ended = command("--methods", "dwconv3", "--data", "cifar10", "-o", str(tmp_path / "run"))
    assert ended.returncode == 2 and "give --download to download it" in ended.stderr
    assert not (tmp_path / "run").exists() and not root.exists()


def test_run_trains_on_a_folder_in_worker_processes(tmp_path):
    """Workers start processes to read images, which end with the run."""
    classes(tmp_path / "set", 2, 12, height=10, width=10)
    text = f"folder:{tmp_path / 'set'}"
    words = ["--methods", "dwconv3", "--baseline", "none", "--budget", "epochs=1", "--train", "batch=8", "--train", "augment=flip"]
    ended = command(*words, "--data", text, "-o", str(tmp_path / "runs" / "one"), LKB_TEST_MARK=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    table = (tmp_path / "runs" / "one" / "table.csv").read_text()
    assert text in table and ",ok," in table
    deadline = time.monotonic() + 10
    while marked(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not marked(str(tmp_path))


def marked(mark):
    """Return the processes whose environment contains the mark."""
    found = []
    for entry in os.scandir("/proc") if os.path.isdir("/proc") else ():
        try:
            with open(f"/proc/{entry.name}/environ", "rb") as file:
                found += [entry.name] if f"LKB_TEST_MARK={mark}".encode() in file.read() else []
        except OSError:
            continue
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux: /proc and a signal at the parent's death")
def test_killed_run_leaves_no_reader_process(tmp_path):
    classes(tmp_path / "set", 2, 60, height=10, width=10)
    words = ["--methods", "dwconv3", "--baseline", "none", "--budget", "epochs=1000", "--train", "batch=8"]
    line = [sys.executable, "-m", "bench", "run", "--res", "8", "--metrics", "accuracy", "--train-res", "8", *words]
    line += ["--data", f"folder:{tmp_path / 'set'}", "-o", str(tmp_path / "runs" / "one")]
    with subprocess.Popen(line, env=os.environ | {"LKB_TEST_MARK": str(tmp_path)}, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (seen := readers(str(tmp_path))) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert seen or (os.cpu_count() or 1) == 1
    deadline = time.monotonic() + 30
    while marked(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not marked(str(tmp_path))


def readers(mark):
    """Return the marked processes that read images, by the name that torch gives them."""
    found = []
    for number in marked(mark):
        with contextlib.suppress(OSError), open(f"/proc/{number}/comm") as file:
            found += [number] if file.read().strip() == "pt_data_worker" else []
    return found
