"""The literal forms as methods: the same weights and output as the operators."""

import subprocess
import sys

import pytest

from tests.paths import ROOT

PROGRAM = """
import torch
import methods
names = methods.load_file("tests/literal/plugin.py")
for name in names:
    torch.manual_seed(0)
    operator = methods.get(name.removesuffix("_literal")).build(8, 12).double().eval()
    torch.manual_seed(0)
    literal = methods.get(name).build(8, 12).double().eval()
    x = torch.randn(2, 8, 12, 12, dtype=torch.float64)
    with torch.no_grad():
        print(name, float((operator(x) - literal(x)).abs().max() / operator(x).abs().max()))
"""


@pytest.fixture(scope="module")
def errors():
    """Map each literal form to its relative error, in a separate process because a plugin stays registered."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}


def test_every_literal_form_gives_the_output_of_its_operator(errors):
    assert len(errors) == 11
    assert {name: error for name, error in errors.items() if error > 1e-10} == {}
