"""Measures of the layers of a network, compared with the same layers of untrained copies of the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from bench.analysis.epochs import unique_titles
from bench.analysis.kernels import KernelBank, kernel_banks, map_sizes
from bench.analysis.localisation import measures
from bench.analysis.network import Network
from bench.stats.rounds import t95
from bench.workload.failures import diagnose
from methods import Unsupported

POWERS = (1, 2)
EXAMPLES = 5  # kernels per layer in a figure
HEADLINE = "k_eff_90"
MIN_DIFFERENCE = 0.5  # smallest difference of two mean effective sizes, in pixels, that counts as a change
ROUNDING = 1e-9  # relative to max(1, value): smallest difference that counts if all untrained copies are equal


@dataclass(frozen=True)
class LayerMeasures:
    """Measures of the non-negligible kernels of one layer; `decomposed` of them are used for rank and components."""

    values: Mapping[str, np.ndarray]  # measure -> one value per kernel (n,)
    mass: Mapping[int, np.ndarray]  # p -> (n, windows)
    rank: int
    pca: np.ndarray
    examples: np.ndarray  # (up to EXAMPLES, Kh, Kw)
    near_zero: int = 0
    decomposed: int = 0

    def mean(self, measure: str) -> float:
        return float(self.values[measure].mean())


@dataclass(frozen=True)
class UntrainedMeasures:
    """Means over the kernels of one layer of one untrained copy."""

    values: Mapping[str, float]
    mass: Mapping[int, np.ndarray]  # p -> (windows,)
    rank: int
    pca: np.ndarray
    examples: np.ndarray


@dataclass(frozen=True)
class Layer:
    """One layer of a network; `measured` is None if it has no kernels, for the reason given by its bank."""

    network: Network
    bank: KernelBank  # without its kernels
    measured: LayerMeasures | None = None
    untrained: tuple[UntrainedMeasures, ...] = ()
    title: str = ""  # distinct title of the network

    @property
    def windows(self) -> np.ndarray:
        return measures.windows(self.bank.taps.shape)

    @property
    def rank_bound(self) -> int:
        """Largest possible rank of the decomposed kernels."""
        assert self.measured is not None
        return min(self.bank.rank_bound, self.measured.decomposed)

    def uniform(self) -> LayerMeasures:
        """Return the measures of a kernel whose taps are all equal."""
        return measure_bank(self.bank.taps[None])

    def untrained_means(self, measure: str) -> np.ndarray:
        """Return the mean of a measure in each untrained copy (seeds,)."""
        return np.array([copy.values[measure] for copy in self.untrained])

    def untrained_mass(self, p: int) -> np.ndarray:
        """Return the mean mass ratio in each untrained copy (seeds, windows); 1 in windows larger than its kernels."""
        return np.array([resize(copy.mass[p], len(self.windows), 1.0) for copy in self.untrained])

    def untrained_pca(self) -> np.ndarray:
        assert self.measured is not None
        return np.array([resize(copy.pca, len(self.measured.pca), 0.0) for copy in self.untrained])

    @property
    def verdict(self) -> str:
        """Change of the effective size at 90% of the mass compared with the untrained copies; empty if not trained or measured."""
        if self.measured is None or not self.network.trained:
            return ""
        if len(self.untrained) < 2:
            return "not tested: needs two untrained seeds"
        verdicts = {-1: "smaller", 0: "no significant change", 1: "larger"}
        return verdicts[self.change(HEADLINE)]

    def change(self, measure: str) -> int:
        """Return -1 or 1 if the mean is significantly below or above those of the untrained copies, else 0.

        Effective sizes are odd integers, which may be equal in all copies: they must also differ by `MIN_DIFFERENCE`.
        """
        assert self.measured is not None
        if not self.untrained:
            return 0
        trained, untrained = self.measured.mean(measure), self.untrained_means(measure)
        difference = trained - untrained.mean()
        too_small = measure in measures.EFFECTIVE_SIZES and abs(difference) < MIN_DIFFERENCE
        return int(np.sign(difference)) if outside_interval(trained, untrained) and not too_small else 0


def resize(curve: np.ndarray, count: int, fill: float) -> np.ndarray:
    """Return the first `count` values, padded with `fill` if there are fewer."""
    return np.pad(curve, (0, max(count - len(curve), 0)), constant_values=fill)[:count]


def outside_interval(value: float, untrained: np.ndarray) -> bool:
    """Return True if a value is outside the 95% prediction interval for one more untrained value, given (seeds,).

    Returns False for fewer than two seeds. If all untrained values are equal, any difference beyond rounding counts.
    """
    n = len(untrained)
    if n < 2:
        return False
    mean = float(untrained.mean())
    half_width = t95(n - 1) * float(untrained.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return abs(value - mean) > max(half_width, ROUNDING * max(1.0, abs(mean)))


def titled(networks: Sequence[Network]) -> dict[Network, str]:
    """Return a distinct title per network, with the image size if sizes differ."""
    sizes = {network.size for network in networks}

    def label(network: Network) -> str:
        seed, file = f"seed {network.cell.seed}", network.weights.name if network.weights else ""
        parts = [network.label, network.progress, seed if network.progress else file]
        return ", ".join(filter(None, (*parts, "x".join(map(str, network.size)) if len(sizes) > 1 else "")))

    return dict(zip(networks, unique_titles(networks, label)))


def architecture(network: Network) -> Network:
    """Return the network without its training. It is equal for all networks with the same untrained copies."""
    return Network(replace(network.cell, seed=0), network.size, network.classes, network.channels)


def measure_bank(kernels: np.ndarray) -> LayerMeasures:
    """Return the measures of a bank (n, Kh, Kw). Raises ValueError if every kernel is zero."""
    selected = measures.non_negligible(kernels)
    bank = kernels[selected]
    if not len(bank):
        raise ValueError("every kernel is zero")
    rows = measures.decomposed_rows(bank)
    examples = bank[np.unique(np.linspace(0, len(bank) - 1, EXAMPLES).astype(int))]
    mass = {p: measures.mass_ratios(bank, p) for p in POWERS}
    pca, rank = measures.pca(rows), measures.rank(rows)
    near_zero = int((~selected).sum())
    return LayerMeasures(measures.scalar_measures(bank), mass, rank, pca, examples, near_zero, len(rows))


def average(layer: LayerMeasures) -> UntrainedMeasures:
    """Return the means over the kernels of a layer."""
    values = {name: layer.mean(name) for name in layer.values}
    mass = {p: curve.mean(0) for p, curve in layer.mass.items()}
    return UntrainedMeasures(values, mass, layer.rank, layer.pca, layer.examples)


def measure_layers(networks: Sequence[Network], seeds: int) -> list[Layer]:
    """Measure every layer of every network. The untrained copies of one network and size are measured once.

    Failures of a network or a layer are its status. Raises ValueError for weights of another network.
    """
    copies = cache(lambda network: _measure_copies(network, seeds))
    return [
        replace(layer, title=title) for network, title in titled(networks).items() for layer in _measure_network(network, copies)
    ]


def _measure_network(network: Network, copies_of: Callable[[Network], UntrainedCopies]) -> list[Layer]:
    try:
        module = network.module()
    except Exception as error:
        if network.weights is not None and isinstance(error, ValueError):
            raise  # the weights are of another network
        return [_failure(network, error)]
    try:
        sizes = map_sizes(module, network.channels, network.size, network.device)
    except Exception as error:
        return [_failure(network, error)]
    copies = copies_of(architecture(network))
    layers = [_measure_layer(network, bank, copies) for bank in kernel_banks(module, sizes)]
    return layers or [_failure(network, Unsupported("no operator and no convolution larger than 1x1"))]


def _measure_layer(network: Network, bank: KernelBank, copies: UntrainedCopies) -> Layer:
    without_kernels = replace(bank, kernels=bank.kernels[:0], note="; ".join(filter(None, (bank.note, copies.note))))
    if bank.status != "ok":
        return Layer(network, without_kernels)
    if not bank.kernels.any():
        return Layer(network, replace(without_kernels, status="skipped", reason="every kernel is zero"))
    try:
        return Layer(network, without_kernels, measure_bank(bank.kernels), tuple(copies.layers.get(bank.layer, ())))
    except Exception as error:  # out of memory, or the decomposition does not converge
        status, reason = diagnose(error)
        return Layer(network, replace(without_kernels, status=status, reason=reason))


def _failure(network: Network, error: Exception) -> Layer:
    status, reason = diagnose(error)
    return Layer(network, KernelBank("", "", None, np.zeros((0, 1, 1)), np.zeros((1, 1)), status=status, reason=reason))


class UntrainedCopies(NamedTuple):
    """The layers of untrained copies, by name, and a note on the copies that failed."""

    layers: Mapping[str, Sequence[UntrainedMeasures]]
    note: str


def _measure_copies(network: Network, seeds: int) -> UntrainedCopies:
    """Measure copies from seeds 0, 1, ...; a layer whose kernels are initialised to zero is left out."""
    layers: dict[str, list[UntrainedMeasures]] = {}
    failed = []
    sizes = None
    for seed in range(seeds):
        try:
            module = network.untrained_module(seed)
            sizes = sizes or map_sizes(module, network.channels, network.size, network.device)
            for bank in kernel_banks(module, sizes):
                if bank.status == "ok" and bank.kernels.any():
                    layers.setdefault(bank.layer, []).append(average(measure_bank(bank.kernels)))
        except Exception as error:
            failed.append(f"untrained copy of seed {seed}: {': '.join(diagnose(error))}")
    return UntrainedCopies(layers, "; ".join(failed))
