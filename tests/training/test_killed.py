"""A killed run resumes with the same result."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from bench.journal import JOURNAL, read_journal
from tests.paths import ROOT


def command(out, *extra):
    given = ["--metrics", "accuracy", "--methods", "dwconv7", "--baseline", "none", "--res", "8", "--device", "cpu"]
    protocol = ["--budget", "epochs=8", "--train-res", "8", "--backbone", "mixer[depth=1]"]
    return [sys.executable, "-m", "bench", "run", *given, *protocol, "-o", str(out), *extra]


def record(out):
    (found,) = read_journal(out / JOURNAL).records.values()
    assert found.status == "ok", found.detail
    return found


def test_run_killed_during_an_epoch_resumes_with_the_same_result(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command(tmp_path / "whole"), check=True, **quiet)
    out = tmp_path / "cut"
    first = subprocess.Popen(command(out, "--save-every", "1ms"), start_new_session=True, **quiet)
    saved = kill_in_mid_epoch(first, out / "checkpoints")
    assert not read_journal(out / JOURNAL).records
    subprocess.run(command(out, "--save-every", "1ms"), check=True, **quiet)
    whole, cut = record(tmp_path / "whole"), record(out)
    for name in ("loss", "penalty", "validation", "lr"):
        assert cut.rounds[name] == whole.rounds[name]
    assert cut.values["accuracy"] == whole.values["accuracy"]
    kept = [epoch[4] for epoch in saved["training"]["curve"]]
    assert len(kept) >= 2 and cut.rounds["seconds"][: len(kept)] == kept, "the first epochs were not trained again"
    assert not (out / "checkpoints").exists()


def kill_in_mid_epoch(process, folder, steps=35):
    """SIGKILL a run that has saved a state of the third epoch or later, within an epoch. Returns the last saved state."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for path in folder.glob("*.pt"):
            training = torch.load(path)["training"]
            if training["step"] > 2 * steps and training["step"] % steps:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return torch.load(path)
        time.sleep(0.002)
    pytest.fail(f"no state of a mid-epoch was seen (exit status {process.poll()}): {json.dumps(os.listdir(folder.parent))}")
