"""The layers of a network as they measure, each beside the same layer of untrained copies of the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from bench.analysis.epochs import titles
from bench.analysis.kernels import KernelBank, kernel_banks, maps
from bench.analysis.localisation import measures as measured
from bench.analysis.network import Network
from bench.stats.rounds import t95
from bench.workload.failures import diagnose
from methods import Unsupported

POWERS = (1, 2)
SHOWN = 5  # kernels of a layer that a picture can have
HEADLINE = "k_eff_90"
APART = 0.5  # pixels that two mean effective sizes differ by at least to be called different
ROUNDING = 1e-9  # of a figure, or of 1 where it is smaller: no difference where all untrained copies are alike


@dataclass(frozen=True)
class LayerMeasures:
    """What the kernels of one layer measure, those near zero left out; `m` of them enter rank and components."""

    values: Mapping[str, np.ndarray]  # measure -> one value a kernel (n,)
    mass: Mapping[int, np.ndarray]  # p -> (n, windows)
    rank: int
    pca: np.ndarray
    shown: np.ndarray  # (up to SHOWN, Kh, Kw)
    near_zero: int = 0
    m: int = 0

    def mean(self, measure: str) -> float:
        return float(self.values[measure].mean())


@dataclass(frozen=True)
class Untrained:
    """Means over the kernels of one layer before training, a seed."""

    values: Mapping[str, float]
    mass: Mapping[int, np.ndarray]  # p -> (windows,)
    rank: int
    pca: np.ndarray
    shown: np.ndarray


@dataclass(frozen=True)
class Layer:
    """One layer of a specimen; without `measure_layer` where it has no kernels, for the reason that its bank tells."""

    specimen: Network
    bank: KernelBank  # without its kernels
    measured: LayerMeasures | None = None
    untrained: tuple[Untrained, ...] = ()
    title: str = ""  # of the specimen among those that are looked at

    @property
    def windows(self) -> np.ndarray:
        return measured.windows(self.bank.taps.shape)

    @property
    def rank_bound(self) -> int:
        """Most dimensions that the kernels that enter the rank can span."""
        assert self.measured is not None
        return min(self.bank.rank_bound, self.measured.m)

    def flat(self) -> LayerMeasures:
        """What the same taps measure where all are alike."""
        return measure_layer(self.bank.taps[None])

    def beside(self, measure: str) -> np.ndarray:
        """The means of a measure in the untrained copies (seeds,)."""
        return np.array([one.values[measure] for one in self.untrained])

    def mass_beside(self, p: int) -> np.ndarray:
        """The mean mass in the untrained copies (seeds, windows); 1 in windows larger than their kernels."""
        return np.array([resized(one.mass[p], len(self.windows), 1.0) for one in self.untrained])

    def pca_beside(self) -> np.ndarray:
        assert self.measured is not None
        return np.array([resized(one.pca, len(self.measured.pca), 0.0) for one in self.untrained])

    @property
    def verdict(self) -> str:
        """What training made of the effective size that holds 90% of the mass; empty where it cannot be said."""
        if self.measured is None or not self.specimen.trained:
            return ""
        if len(self.untrained) < 2:
            return "unclear: needs two untrained seeds"
        names = {-1: "localises by training", 0: "as at the beginning", 1: "wider than at the beginning"}
        return names[self.change(HEADLINE)]

    def change(self, measure: str) -> int:
        """-1 or 1 where the mean lies below or above those of the untrained copies, beyond their spread; else 0.

        Effective sizes are whole odd numbers, alike in all copies now and then: they must lie `APART` apart as well.
        """
        assert self.measured is not None
        if not self.untrained:
            return 0
        now, before = self.measured.mean(measure), self.beside(measure)
        difference = now - before.mean()
        near = measure.startswith("k_eff") and abs(difference) < APART
        return int(np.sign(difference)) if beyond(now, before) and not near else 0


def resized(curve: np.ndarray, count: int, fill: float) -> np.ndarray:
    """The first `count` values, filled up where there are fewer."""
    return np.pad(curve, (0, max(count - len(curve), 0)), constant_values=fill)[:count]


def beyond(value: float, before: np.ndarray) -> bool:
    """Whether a value lies outside the 95% prediction interval for one more untrained value, of (seeds,); False for one seed.

    Where all copies are alike it is one beyond rounding.
    """
    n = len(before)
    if n < 2:
        return False
    middle = float(before.mean())
    spread = t95(n - 1) * float(before.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return abs(value - middle) > max(spread, ROUNDING * max(1.0, abs(middle)))


def named(specimens: Sequence[Network]) -> dict[Network, str]:
    """A title each, of its own; with the size of the images where they differ."""
    sizes = {one.size for one in specimens}

    def label(one: Network) -> str:
        parts = [one.label, one.age, f"seed {one.cell.seed}" if one.age else one.weights.name if one.weights else ""]
        return ", ".join(filter(None, (*parts, "x".join(map(str, one.size)) if len(sizes) > 1 else "")))

    return dict(zip(specimens, titles(specimens, label)))


def begun(specimen: Network) -> Network:
    """The network without its training: equal for all that have the same `fresh` copies."""
    return Network(replace(specimen.cell, seed=0), specimen.size, specimen.classes, specimen.channels)


def measure_layer(kernels: np.ndarray) -> LayerMeasures:
    """Measures of a bank (n, Kh, Kw); raises ValueError where every kernel is zero."""
    heard = measured.audible(kernels)
    kept = kernels[heard]
    if not len(kept):
        raise ValueError("every kernel is zero")
    rows = measured.decomposed(kept)
    shown = kept[np.unique(np.linspace(0, len(kept) - 1, SHOWN).astype(int))]
    mass = {p: measured.mass(kept, p) for p in POWERS}
    pca, rank = measured.pca(rows), measured.rank(rows)
    return LayerMeasures(measured.measures(kept), mass, rank, pca, shown, int((~heard).sum()), len(rows))


def means(seen: LayerMeasures) -> Untrained:
    values = {name: seen.mean(name) for name in seen.values}
    return Untrained(values, {p: curve.mean(0) for p, curve in seen.mass.items()}, seen.rank, seen.pca, seen.shown)


def layers(specimens: Sequence[Network], seeds: int) -> list[Layer]:
    """Every layer of every specimen; the untrained copies of one network and size are looked at once.

    Whatever a network or a layer raises is its status. Raises ValueError for weights of another network.
    """
    beside = cache(lambda network: _beside(network, seeds))
    return [replace(layer, title=title) for specimen, title in named(specimens).items() for layer in _layers(specimen, beside)]


def _layers(specimen: Network, beside: Callable[[Network], Copies]) -> list[Layer]:
    try:
        network = specimen.network()
    except Exception as error:
        if specimen.weights is not None and isinstance(error, ValueError):
            raise  # the weights are of another network
        return [_failed(specimen, error)]
    try:
        met = maps(network, specimen.channels, specimen.size, specimen.device)
    except Exception as error:
        return [_failed(specimen, error)]
    copies = beside(begun(specimen))
    found = [_layer(specimen, bank, copies) for bank in kernel_banks(network, met)]
    return found or [_failed(specimen, Unsupported("no operator and no convolution larger than 1x1"))]


def _layer(specimen: Network, bank: KernelBank, copies: Copies) -> Layer:
    bare = replace(bank, kernels=bank.kernels[:0], note="; ".join(filter(None, (bank.note, copies.note))))
    if bank.status != "ok":
        return Layer(specimen, bare)
    if not bank.kernels.any():
        return Layer(specimen, replace(bare, status="skipped", reason="every kernel is zero"))
    try:
        return Layer(specimen, bare, measure_layer(bank.kernels), tuple(copies.layers.get(bank.layer, ())))
    except Exception as error:  # no memory, or no convergence
        status, reason = diagnose(error)
        return Layer(specimen, replace(bare, status=status, reason=reason))


def _failed(specimen: Network, error: Exception) -> Layer:
    status, reason = diagnose(error)
    return Layer(specimen, KernelBank("", "", None, np.zeros((0, 1, 1)), np.zeros((1, 1)), status=status, reason=reason))


class Copies(NamedTuple):
    """The layers of untrained copies, and which copies failed."""

    layers: Mapping[str, Sequence[Untrained]]
    note: str


def _beside(network: Network, seeds: int) -> Copies:
    """Copies from seeds 0, 1, ...; a layer whose kernels begin as zeros has none."""
    found: dict[str, list[Untrained]] = {}
    failed = []
    met = None
    for seed in range(seeds):
        try:
            fresh = network.fresh(seed)
            met = met or maps(fresh, network.channels, network.size, network.device)
            for bank in kernel_banks(fresh, met):
                if bank.status == "ok" and bank.kernels.any():
                    found.setdefault(bank.layer, []).append(means(measure_layer(bank.kernels)))
        except Exception as error:
            failed.append(f"untrained copy of seed {seed}: {': '.join(diagnose(error))}")
    return Copies(found, "; ".join(failed))
