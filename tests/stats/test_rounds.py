"""Intervals and clean samples."""

import math

import numpy as np
import pytest

from bench.stats.rounds import Round, clean, clean_share, contended, log_interval, t95


def test_quantiles_of_student_t():
    assert t95(1) == 12.706
    assert t95(4) == 2.776
    assert t95(60) == pytest.approx(2.000, abs=1e-3)
    assert t95(1000) == pytest.approx(1.962, abs=1e-3)
    with pytest.raises(ValueError, match="two rounds"):
        t95(0)


def test_interval_by_hand():
    """The logs 0, 1, 2 have mean 1, deviation 1, half-width 4.303 / sqrt(3)."""
    mid, lo, hi = log_interval([math.e**0, math.e**1, math.e**2])
    half = 4.303 / math.sqrt(3)
    assert mid == pytest.approx(math.e)
    assert (lo, hi) == pytest.approx((math.e * math.exp(-half), math.e * math.exp(half)))


def test_single_round_has_no_interval():
    mid, lo, hi = log_interval([2.0])
    assert mid == 2.0
    assert math.isnan(lo)
    assert math.isnan(hi)


def test_coverage_of_the_interval():
    """95% intervals of five log-normal rounds contain the true median in 90-97% of 2000 trials."""
    rng = np.random.default_rng(0)
    inside = [lo <= 1 <= hi for _, lo, hi in (log_interval(np.exp(rng.normal(0, 0.05, 5))) for _ in range(2000))]
    assert 0.90 < np.mean(inside) < 0.97


def test_samples_with_a_switch_are_not_clean():
    samples = Round([1.0, 9.0, 1.1], [1.0, 1.0, 1.1], [0, 2, 0], [0, 0, 0])
    assert clean(samples) == [1.0, 1.1]
    assert clean_share([samples]) == pytest.approx(2 / 3)


def test_contended_needs_clean_samples_in_every_round():
    quiet = Round([1.0] * 5, [1.0] * 5, [0] * 5, [0] * 5)
    busy = Round([9.0] * 5, [1.0] * 5, [1, 1, 1, 0, 0], [0] * 5)
    assert not contended([quiet, quiet])
    assert contended([quiet, busy])
    assert not contended([Round([1.0], [1.0], [0], [0])]), "a round of one clean sample is clean"
    many = Round([1.0] * 100, [1.0] * 100, [0] * 5 + [1] * 95, [0] * 100)
    assert contended([many]), "5 of 100 clean is below the share that is trusted"
