"""Every registered method passes every check of the contract."""

import pytest

import methods
from methods import contract


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", methods.names())
def test_contract(name, check):
    check(methods.get(name))
