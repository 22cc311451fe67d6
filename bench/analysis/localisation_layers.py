"""The layers of a network as they measure, each beside the same layer of untrained copies of the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bench import words
from bench.analysis import localisation_measures as measured
from bench.analysis.kernels import Bank, banks, maps
from bench.analysis.specimen import Specimen
from bench.stats import t95
from methods import Unsupported

POWERS = (1, 2)
SHOWN = 5  # kernels of a layer that a picture can have
HEADLINE = "k_eff_90"
APART = 0.5  # pixels that two mean effective sizes differ by at least to be called different


@dataclass(frozen=True)
class Look:
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
    """One layer of a specimen; without `look` where it has no kernels, for the reason that its bank tells."""

    specimen: Specimen
    bank: Bank  # without its kernels
    look: Look | None = None
    untrained: tuple[Untrained, ...] = ()

    @property
    def windows(self) -> np.ndarray:
        return measured.windows(self.bank.taps.shape)

    def flat(self) -> Look:
        """What the same taps measure where all are alike."""
        return look(self.bank.taps[None])

    def beside(self, measure: str) -> np.ndarray:
        """The means of a measure in the untrained copies (seeds,)."""
        return np.array([one.values[measure] for one in self.untrained])

    def mass_beside(self, p: int) -> np.ndarray:
        """The mean mass in the untrained copies (seeds, windows); 1 in windows larger than their kernels."""
        return np.array([resized(one.mass[p], len(self.windows), 1.0) for one in self.untrained])

    def pca_beside(self) -> np.ndarray:
        assert self.look is not None
        return np.array([resized(one.pca, len(self.look.pca), 0.0) for one in self.untrained])

    @property
    def verdict(self) -> str:
        """What training made of the effective size that holds 90% of the mass; empty where it cannot be said."""
        if self.look is None or not learned(self.specimen):
            return ""
        if len(self.untrained) < 2:
            return "unclear: needs two untrained seeds"
        names = {-1: "localises by training", 0: "as at the beginning", 1: "wider than at the beginning"}
        return names[self.change(HEADLINE)]

    def change(self, measure: str) -> int:
        """-1 or 1 where the mean lies below or above those of the untrained copies, beyond their spread; else 0.

        Effective sizes are whole odd numbers, alike in all copies now and then: they must lie `APART` apart as well.
        """
        assert self.look is not None
        if not self.untrained:
            return 0
        now, before = self.look.mean(measure), self.beside(measure)
        difference = now - before.mean()
        near = measure.startswith("k_eff") and abs(difference) < APART
        return int(np.sign(difference)) if beyond(now, before) and not near else 0


def resized(curve: np.ndarray, count: int, fill: float) -> np.ndarray:
    """The first `count` values, filled up where there are fewer."""
    return np.pad(curve, (0, max(count - len(curve), 0)), constant_values=fill)[:count]


def beyond(value: float, before: np.ndarray) -> bool:
    """Whether a value lies outside the 95% prediction interval for one more untrained value, of (seeds,); False for one seed."""
    n = len(before)
    if n < 2:
        return False
    return abs(value - before.mean()) > t95(n - 1) * float(before.std(ddof=1)) * math.sqrt(1 + 1 / n)


def learned(specimen: Specimen) -> bool:
    """Whether its weights are those of a training, here or at its publisher's."""
    return specimen.trained or bool(dict(words.parse(specimen.cell.network).options).get("pretrained"))


def begun(specimen: Specimen) -> Specimen:
    """The network before any training: without weights, published ones included, and from seed 0."""
    word = words.parse(specimen.cell.network)
    fresh = word._replace(options=tuple(option for option in word.options if option[0] != "pretrained"))
    cell = replace(specimen.cell, network=str(fresh), seed=0)
    return replace(specimen, cell=cell, data="", weights=None, epoch=None)


def look(kernels: np.ndarray) -> Look:
    """Measures of a bank (n, Kh, Kw); raises ValueError where every kernel is zero."""
    heard = measured.audible(kernels)
    kept = kernels[heard]
    if not len(kept):
        raise ValueError("every kernel is zero")
    rows = measured.decomposed(kept)
    shown = kept[np.unique(np.linspace(0, len(kept) - 1, SHOWN).astype(int))]
    mass = {p: measured.mass(kept, p) for p in POWERS}
    pca, rank = measured.pca(rows), measured.rank(rows)
    return Look(measured.measures(kept), mass, rank, pca, shown, int((~heard).sum()), len(rows))


def means(seen: Look) -> Untrained:
    values = {name: seen.mean(name) for name in seen.values}
    return Untrained(values, {p: curve.mean(0) for p, curve in seen.mass.items()}, seen.rank, seen.pca, seen.shown)


def layers(specimens: Iterable[Specimen], seeds: int) -> list[Layer]:
    """Every layer of every specimen; the untrained copies of one network and size are looked at once."""
    beside = cache(lambda network: _beside(network, seeds))
    return [layer for specimen in specimens for layer in _layers(specimen, beside)]


def _layers(specimen: Specimen, beside: Callable[[Specimen], Mapping[str, Sequence[Untrained]]]) -> list[Layer]:
    try:
        network = specimen.network()
        met = maps(network, specimen.channels, specimen.size, specimen.device)
    except (Unsupported, RuntimeError) as error:
        return [_failed(specimen, error)]
    untrained = beside(begun(specimen))
    found = [_layer(specimen, bank, tuple(untrained.get(bank.layer, ()))) for bank in banks(network, met)]
    return found or [_failed(specimen, Unsupported("no operator and no convolution larger than 1x1"))]


def _layer(specimen: Specimen, bank: Bank, untrained: tuple[Untrained, ...]) -> Layer:
    bare = replace(bank, kernels=bank.kernels[:0])
    if bank.status != "ok":
        return Layer(specimen, bare)
    try:
        return Layer(specimen, bare, look(bank.kernels), untrained)
    except ValueError as error:
        return Layer(specimen, replace(bare, status="skipped", reason=str(error)))


def _failed(specimen: Specimen, error: Exception) -> Layer:
    status = "unsupported" if isinstance(error, Unsupported) else "error"
    reason = " ".join(str(error).split())
    return Layer(specimen, Bank("", "", None, np.zeros((0, 1, 1)), np.zeros((1, 1)), status=status, reason=reason))


def _beside(network: Specimen, seeds: int) -> dict[str, list[Untrained]]:
    """The layers of untrained copies from seeds 0, 1, ...; one whose kernels begin as zeros has none."""
    found: dict[str, list[Untrained]] = {}
    met = None
    for seed in range(seeds):
        fresh = network.fresh(seed)
        met = met or maps(fresh, network.channels, network.size, network.device)
        for bank in banks(fresh, met):
            if bank.status == "ok" and bank.kernels.any():
                found.setdefault(bank.layer, []).append(means(look(bank.kernels)))
    return found
