"""Ratios, their intervals and verdicts."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.stats.ranking import kendall_tau, ranks
from bench.stats.ratios import (
    UNKNOWN,
    Timed,
    across_sessions,
    exact,
    from_intervals,
    paired,
    ratio,
    signed_rank_cut,
    slower,
    unpaired,
    verdict,
)
from bench.stats.rounds import Interval, log_interval

# Two-sided 5% critical values of Wilcoxon's signed-rank test, from the published tables.
TABLE = {6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 12: 13, 15: 25, 20: 52, 25: 89, 30: 137}


@pytest.mark.parametrize("n", TABLE)
def test_critical_values_equal_published_ones(n):
    assert signed_rank_cut(n) == TABLE[n]


def test_five_differences_give_no_interval():
    with pytest.raises(ValueError, match="5 differences"):
        signed_rank_cut(5)


def test_paired_ratio_by_hand():
    """For log ratios 1..6, the 21 pairwise means range from 1 to 6, their median is 3.5, and the ends are the extremes."""
    logs = np.arange(1, 7) / 100
    mid, lo, hi = paired(list(np.exp(logs)), [1.0] * 6)
    assert (math.log(mid), math.log(lo), math.log(hi)) == pytest.approx((0.035, 0.01, 0.06))


def test_paired_ratio_of_few_rounds_by_hand():
    """The logs 0, 1, 2 have mean 1, deviation 1, half-width 4.303 / sqrt(3)."""
    half = 4.303 / math.sqrt(3)
    found = [math.log(end) for end in paired([1, math.e, math.e**2], [1, 1, 1])]
    assert found == pytest.approx([1, 1 - half, 1 + half])


def test_background_load_cancels_only_in_pairs():
    """If half of the rounds run at half speed, 5% are detected between pairs and not between means."""
    speed = np.repeat([1.0, 2.0], 6)
    jitter = 1 + np.random.default_rng(0).normal(0, 0.002, 12)
    over, under = list(1.05 * speed * jitter), list(speed)
    assert verdict(paired(over, under), 0.02) == "slower"
    assert verdict(unpaired(over, under), 0.02) == "unclear"


def test_outlier_of_one_method_decides_nothing():
    logs = [*np.random.default_rng(0).normal(0, 0.003, 18), 0.6, 0.7]
    assert verdict(paired(list(np.exp(logs)), [1.0] * 20), 0.02) == "same"


@pytest.mark.parametrize("rounds", [6, 10, 30])
def test_coverage_of_paired_intervals(rounds):
    """For heavy-tailed rounds, at least 95% of 1000 intervals contain the true ratio, up to sampling error."""
    rng = np.random.default_rng(1)
    noise = 0.01 * rng.standard_t(1.5, (1000, rounds))
    inside = [lo <= 1.1 <= hi for _, lo, hi in (paired(list(1.1 * np.exp(row)), [1.0] * rounds) for row in noise)]
    assert 0.935 < np.mean(inside) < 0.985


def test_coverage_of_unpaired_intervals():
    rng = np.random.default_rng(2)
    trials = (unpaired(np.exp(rng.normal(0.1, 0.03, 5)), np.exp(rng.normal(0, 0.01, 9))) for _ in range(1000))
    assert 0.93 < np.mean([lo <= math.exp(0.1) <= hi for _, lo, hi in trials]) < 0.975


def test_slow_session_is_unclear_and_slower_code_is_slower():
    """Background load slows eight of ten rounds by 60%; the others show that the code is the same."""
    quiet = [1.0, 1.01, 1.0, 1.02, 1.0, 1.01, 1.03, 1.0, 1.0, 1.01]
    disturbed = [1.6 * figure for figure in quiet[:8]] + quiet[8:]
    assert verdict(unpaired(disturbed, quiet), 0.05) == "slower"
    assert verdict(across_sessions(disturbed, quiet), 0.05) == "unclear"
    assert verdict(across_sessions([1.3 * figure for figure in quiet], quiet), 0.05) == "slower"


def test_the_gate_may_be_as_narrow_as_the_threshold():
    between = Interval(1.06, 1.045, 1.074)
    assert verdict(between, 0.05) == "same" and verdict(between, 0.05, same=1.0) == "unclear"


def test_ratio_from_intervals_equals_that_from_rounds():
    """The unpaired ratio is the same from rounds and from their intervals. (Here the medians equal the means.)"""
    over, under = [1.0, 1.1, 1.21], [0.5, 0.55, 0.605, 0.6655, 0.45454545454545453]
    assert from_intervals(log_interval(over), log_interval(under), (3, 5)) == pytest.approx(unpaired(over, under))


def test_single_round_has_no_interval():
    for compare in (paired, unpaired):
        mid, lo, hi = compare([2.0], [1.0])
        assert mid == 2
        assert math.isnan(lo) and math.isnan(hi)
        assert all(map(math.isnan, compare([], [])))
    assert math.isnan(from_intervals(Interval(2, math.nan, math.nan), Interval(1, 0.9, 1.1), (1, 5)).lo)


def test_round_without_a_value_is_not_paired():
    assert paired([2.0, None, 2.0, 8.0], [1.0, 1.0, 1.0, None]) == pytest.approx((2, 2, 2))


def test_exact_ratios():
    assert exact(3, 2) == (1.5, 1.5, 1.5)
    assert exact(0, 0).mid == 1
    assert exact(1, 0).mid == math.inf


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ((0.9, 0.85, 0.95), "faster"),
        ((0.9, 0.85, 0.9804), "unclear"),  # 1 / 1.02 = 0.98039
        ((1.1, 1.05, 1.2), "slower"),
        ((1.03, 1.0199, 1.04), "unclear"),
        ((1.03, 1.0201, 1.04), "slower"),
        ((1.0, 0.971, 1.029), "same"),
        ((1.0, 0.97, 1.029), "unclear"),  # 1 / 1.03 = 0.97087
        ((1.01, 0.98, 1.031), "unclear"),
        (UNKNOWN, "unclear"),
        ((math.inf, math.inf, math.inf), "slower"),
    ],
)
def test_verdict_needs_the_whole_interval(interval, word):
    assert verdict(Interval(*interval), 0.02) == word


def facts(ms, contended=0, threads=1, session=1.0):
    rounds = {"clean": [ms] * 6, "cpu": [ms * 2] * 6, "wall": [ms * 3] * 6}
    return Timed(rounds, bool(contended), threads, "cpu", session)


def test_two_records_are_compared_by_one_clock():
    assert ratio(facts(2), facts(1)).mid == pytest.approx(2)
    broken = facts(2, contended=1)
    broken.rounds["clean"] = [None] * 6
    assert ratio(broken, facts(1)).mid == pytest.approx(2), "by the processor time of both"
    broken = facts(2, contended=1, threads=2)
    broken.rounds["cpu"] = [100] * 6
    assert ratio(broken, facts(1, threads=2)).mid == pytest.approx(2), "by the wall clock of both"


def test_records_of_two_sessions_are_unpaired():
    one = replace(facts(1), rounds={"clean": [1, 2, 3, 4, 5, 6.0]})
    other = replace(facts(1), rounds={"clean": [2, 4, 6, 8, 10, 12.0]})
    assert ratio(one, other) == pytest.approx((0.5, 0.5, 0.5))
    assert ratio(one, replace(other, session=2.0)).hi > 0.8


def test_slower_is_false_for_equal_latencies():
    assert not slower(facts(1), facts(1))
    assert slower(facts(2), facts(1)) and not slower(facts(1), facts(2))


def test_tied_rows_have_the_same_rank():
    assert ranks([1.0, 1.01, 1.02, 1.5, 1.51], lambda one, other: one > 1.05 * other) == [1, 1, 1, 4, 4]


def test_kendall():
    assert kendall_tau([1, 2, 3], [1, 2, 3]) == 1
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1
    assert kendall_tau([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)
    assert math.isnan(kendall_tau([1, 1, 1], [1, 2, 3]))
