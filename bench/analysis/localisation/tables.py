"""The tidy tables of localisation: layers, measures, mass, components, and the recipe of the published notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.localisation import measures
from bench.analysis.localisation.layers import HEADLINE, POWERS, Layer, outside_interval
from bench.analysis.localisation.notebook import NotebookResult

Row = dict[str, Any]
QUANTILES = {"q10": 0.1, "median": 0.5, "q90": 0.9}

COLUMNS = {
    "specimen": "network, method and training, with a suffix if several have the same name",
    "network": "network with its options",
    "method": "operator in the network with its options; original: the network as published",
    "data": "training data set",
    "epoch": "number of epochs trained; 0: before the first; empty if not trained with this program",
    "seed": "seed of the training or of the initialisation",
    "image": "HxW of the images, px",
    "layer": "name of the module in the network",
    "operator": "class of the module",
    "map": "HxW of the module's input maps, px",
    "kernel": "rows x columns of the kernel, px; a convolution of even size has a row and a column of zeros added",
    "kernels": "number of kernels: one per channel, or one per pair of channels",
    "near_zero": f"kernels left out of every measure: norm below {measures.NEGLIGIBLE:.0%} of the layer's root mean square norm",
    "status": "ok, or why there are no values; reason: the reason; note: remarks on the kernel",
    "verdict": f"change of the mean {HEADLINE} compared with the untrained copies; see beyond",
    "k_eff_50": "smallest odd window that holds 50% of the sum of |h|, px: mean over kernels; also k_eff_75, k_eff_90, k_eff_95",
    "rms_radius": "sqrt(sum h^2 r^2 / sum h^2), px",
    "delta_share": "|h(0)| / sum |h|",
    "even_share": "share of the energy in the part of h that is even in the offset; odd_share: the rest",
    "rank": "numerical rank of the kernels in float64; rank_bound: its upper bound from method, taps and `decomposed`",
    "decomposed": f"kernels used for rank and components: all, or {measures.SAMPLE} if kernels and taps are more than that",
    "untrained": "mean over the untrained seeds of the same mean over kernels (X_untrained: of column X)",
    "untrained_sd": "standard deviation over the untrained seeds",
    "seeds": "number of untrained seeds",
    "beyond": "1: outside the 95% prediction interval for one more untrained seed (effective sizes: and a difference of at least "
    "half a pixel); 0: no significant change",
    "uniform": "value if all taps of the layer are equal; NIFF's k^2 / N^2 if the kernel is as large as the map",
    "uniform_map": "value if the mass is uniform over the whole map, for kernels smaller than the map",
    "p": "power in the mass ratio KMR_p(k) = sum of |h|^p in the window / sum of |h|^p",
    "window": "side k of the window, px: odd, centred, clipped at the edge of an even grid",
    "mean": "mean over kernels; std: population standard deviation; q10, median, q90: quantiles over kernels",
    "component": "index of the principal component of the mean-centred kernels, from 1; ratio: share of the variance it explains",
    "bound": "largest possible number of components with variance (rank_bound)",
    "stage": "stage of the network, whose kernels the notebook stacks; layers: the layers it uses",
    "label": "window label 2 i + 1 of the notebook, for an off-centre window of 2 i x 2 i pixels; grid: its N",
    "recipe_mean": "mean over kernels of the notebook's ratio; recipe_std: population standard deviation",
    "centred_mean": "mean over kernels of KMR_1 in a centred window of `label` px, at the size of the maps; centred_std: "
    "population standard deviation",
}


def network_columns(layer: Layer) -> Row:
    """Return the columns that identify the network."""
    network = layer.network
    return {
        "specimen": layer.title,
        "network": network.cell.network,
        "method": network.cell.operator,
        "data": network.data,
        "epoch": network.epoch,
        "seed": network.cell.seed,
        "image": format_size(network.size),
    }


def format_size(size: Sequence[int] | None) -> str:
    return "x".join(map(str, size or ()))


def layers_table(layers: Sequence[Layer]) -> pd.DataFrame:
    """Return one row per network and layer."""
    return pd.DataFrame([_layer_row(layer) for layer in layers])


def _layer_row(layer: Layer) -> Row:
    bank = layer.bank
    row = network_columns(layer) | {
        "layer": bank.layer,
        "operator": bank.operator,
        "map": format_size(bank.size),
        "kernel": format_size(bank.taps.shape) if layer.measured else "",
        "kernels": bank.n if layer.measured else None,
        "near_zero": layer.measured.near_zero if layer.measured else None,
        "status": bank.status,
        "reason": bank.reason,
        "note": bank.note,
        "verdict": layer.verdict,
        "seeds": len(layer.untrained),
    }
    if layer.measured is None:
        return row
    for measure in layer.measured.values:
        row[measure] = layer.measured.mean(measure)
        row[f"{measure}_untrained"] = _mean(layer.untrained_means(measure)) if layer.untrained else None
    row |= {"rank": layer.measured.rank, "rank_bound": layer.rank_bound, "decomposed": layer.measured.decomposed}
    return row | {"rank_untrained": _mean(np.array([copy.rank for copy in layer.untrained])) if layer.untrained else None}


def measures_table(layers: Sequence[Layer]) -> pd.DataFrame:
    """Return one row per network, layer and measure."""
    return pd.DataFrame([row for layer in layers for row in _measure_rows(layer)])


def _measure_rows(layer: Layer) -> Iterator[Row]:
    if layer.measured is None:
        return
    uniform = layer.uniform()
    for measure, values in layer.measured.values.items():
        untrained = layer.untrained_means(measure) if layer.untrained else np.zeros(0)
        comparison = _comparison(values.mean(), untrained)
        comparison["beyond"] = abs(layer.change(measure)) if len(untrained) > 1 else None
        row = {**_layer_columns(layer), "measure": measure, **_over_kernels(values), **comparison}
        yield row | {"uniform": float(uniform.values[measure][0])}


def mass_table(layers: Sequence[Layer]) -> pd.DataFrame:
    """Return one row per network, layer, power and window."""
    return pd.DataFrame([row for layer in layers for row in _mass_rows(layer)])


def _mass_rows(layer: Layer) -> Iterator[Row]:
    if layer.measured is None:
        return
    uniform_map = measures.mass_ratios(np.ones((1, *layer.bank.extent)))[0]
    for p in POWERS:
        curves, untrained, uniform = layer.measured.mass[p], layer.untrained_mass(p), layer.uniform().mass[p][0]
        for index, window in enumerate(layer.windows):
            values = curves[:, index]
            yield {
                **_layer_columns(layer),
                "p": p,
                "window": int(window),
                **_over_kernels(values),
                **_comparison(values.mean(), untrained[:, index] if len(untrained) else untrained),
                "uniform": uniform[index],
                "uniform_map": uniform_map[index],
            }


def components_table(layers: Sequence[Layer]) -> pd.DataFrame:
    """Return one row per network, layer and principal component."""
    return pd.DataFrame([row for layer in layers for row in _component_rows(layer)])


def _component_rows(layer: Layer) -> Iterator[Row]:
    if layer.measured is None:
        return
    untrained = layer.untrained_pca()
    for index, ratio in enumerate(layer.measured.pca):
        comparison = _comparison(ratio, untrained[:, index] if len(untrained) else untrained)
        yield {**_layer_columns(layer), "component": index + 1, "ratio": ratio, **comparison, "bound": layer.rank_bound}


def recipe_rows(result: NotebookResult) -> Iterator[Row]:
    """Yield one row per stage and label of the notebook, or one row with the reason if the recipe failed."""
    if result.status != "ok":
        yield {"specimen": result.title, "status": result.status, "reason": result.reason}
    for number, stage in enumerate(result.stages):
        untrained = np.array([copy[number].recipe.mean for copy in result.untrained])
        for index, label in enumerate(stage.recipe.labels):
            inside = index < len(stage.centred.mean)
            yield {
                "specimen": result.title,
                "status": result.status,
                "stage": stage.name,
                "layers": " ".join(stage.layers),
                "map": format_size(stage.size),
                "grid": stage.grid,
                "label": int(label),
                "recipe_mean": stage.recipe.mean[index],
                "recipe_std": stage.recipe.std[index],
                **_comparison(stage.recipe.mean[index], untrained[:, index]),
                "centred_mean": stage.centred.mean[index] if inside else 1.0,
                "centred_std": stage.centred.std[index] if inside else 0.0,
            }


def _layer_columns(layer: Layer) -> Row:
    return {"specimen": layer.title, "layer": layer.bank.layer, "map": format_size(layer.bank.size)}


def _over_kernels(values: np.ndarray) -> Row:
    return {"mean": values.mean(), "std": values.std()} | {name: np.quantile(values, q) for name, q in QUANTILES.items()}


def _comparison(value: float, untrained: np.ndarray) -> Row:
    """Compare a mean with those of the untrained copies (seeds,); the values are None if there are none."""
    return {
        "untrained": _mean(untrained) if len(untrained) else None,
        "untrained_sd": untrained.std(ddof=1) if len(untrained) > 1 else None,
        "beyond": int(outside_interval(value, untrained)) if len(untrained) > 1 else None,
        "seeds": len(untrained),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean())
