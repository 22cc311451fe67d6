"""The tidy tables of localisation: layers, measures, mass and components, and the published notebook's recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.localisation import measures as measured
from bench.analysis.localisation.layers import HEADLINE, POWERS, Layer, beyond
from bench.analysis.localisation.notebook import Published

Row = dict[str, Any]
QUANTILES = {"q10": 0.1, "median": 0.5, "q90": 0.9}

COLUMNS = {
    "specimen": "network, method and training; of namesakes also what tells them apart",
    "network": "network with its options",
    "method": "operator in it with its options; original: the network as it was published",
    "data": "what it was trained on",
    "epoch": "epochs trained; 0: before the first; empty where it was not trained here",
    "seed": "of its training, or of its beginning",
    "image": "HxW of its images in px",
    "layer": "name of the module in the network",
    "operator": "class of the module",
    "map": "HxW of its maps in px",
    "kernel": "rows x columns of its kernel in px; an even size of a convolution has a row and a column of zeros added",
    "kernels": "how many: a channel, or a pair of channels, each",
    "near_zero": f"of them left out of every measure, their norm being below {measured.SILENT:.0%} of the layer's root mean square",
    "status": "ok, or why there are no figures; reason: in words; note: what to know of the kernel",
    "verdict": f"mean {HEADLINE} against the untrained copies; see beyond",
    "k_eff_50": "smallest odd window in px that holds 50% of the sum of |h|: mean over kernels; k_eff_75, k_eff_90, k_eff_95 alike",
    "rms_radius": "px: sqrt(sum h^2 r^2 / sum h^2)",
    "delta_share": "|h(0)| / sum |h|",
    "even_share": "energy of the part of h that is even in the offset; odd_share: the rest",
    "rank": "dimensions that the kernels span, numerically in float64; rank_bound: most that method, taps and `decomposed` allow",
    "decomposed": f"kernels in rank and components: all, or {measured.SAMPLE} where kernels and taps are more than that",
    "untrained": "mean over the untrained seeds of the same mean over kernels (X_untrained: of column X)",
    "untrained_sd": "standard deviation over these seeds",
    "seeds": "of them",
    "beyond": "1: outside the 95% prediction interval for one more untrained seed, effective sizes half a pixel away too; else no "
    "difference is claimed",
    "uniform": "where all taps that the layer has are alike; NIFF's k^2 / N^2 where the kernel is as large as the map",
    "uniform_map": "where mass is even over the whole map, for kernels smaller than it",
    "p": "power in the mass ratio KMR_p(k) = sum of |h|^p in the window / sum of |h|^p",
    "window": "side k in px, odd, centred, clipped at the edge of an even grid",
    "mean": "over kernels; std: population; q10, median, q90: over kernels",
    "component": "principal component of the kernels, mean-centred, from 1; ratio: share of the variance it explains",
    "bound": "most components with variance that the method allows, whatever is learned (rank_bound)",
    "stage": "layers of one name before their block, whose kernels the notebook takes together; layers: those it takes",
    "label": "the notebook's window label 2 i + 1, which stands for 2 i x 2 i pixels off-centre; grid: its N",
    "recipe_mean": "of the notebook's ratio over kernels; recipe_std: population",
    "centred_mean": "of KMR_1 at a window of that many px, at the size of the maps; centred_std: population",
}


def specimen_of(layer: Layer) -> Row:
    """The columns that say which network."""
    one = layer.specimen
    method = one.cell.label.rpartition(" + ")[2] if " + " in one.cell.label else one.cell.method
    return {
        "specimen": layer.title,
        "network": one.cell.network,
        "method": method,
        "data": one.data,
        "epoch": one.epoch,
        "seed": one.cell.seed,
        "image": text(one.size),
    }


def text(size: Sequence[int] | None) -> str:
    return "x".join(map(str, size or ()))


def layers(found: Sequence[Layer]) -> pd.DataFrame:
    """One row a layer and specimen."""
    return pd.DataFrame([_layer(one) for one in found])


def _layer(one: Layer) -> Row:
    bank = one.bank
    row = specimen_of(one) | {
        "layer": bank.layer,
        "operator": bank.operator,
        "map": text(bank.size),
        "kernel": text(bank.taps.shape) if one.measured else "",
        "kernels": bank.n if one.measured else None,
        "near_zero": one.measured.near_zero if one.measured else None,
        "status": bank.status,
        "reason": bank.reason,
        "note": bank.note,
        "verdict": one.verdict,
        "seeds": len(one.untrained),
    }
    if one.measured is None:
        return row
    for measure in one.measured.values:
        row[measure] = one.measured.mean(measure)
        row[f"{measure}_untrained"] = _mean(one.beside(measure)) if one.untrained else None
    row |= {"rank": one.measured.rank, "rank_bound": one.rank_bound, "decomposed": one.measured.m}
    return row | {"rank_untrained": _mean(np.array([seed.rank for seed in one.untrained])) if one.untrained else None}


def measures(found: Sequence[Layer]) -> pd.DataFrame:
    """One row a layer, specimen and measure."""
    return pd.DataFrame([row for one in found for row in _measures(one)])


def _measures(one: Layer) -> Iterator[Row]:
    if one.measured is None:
        return
    flat = one.flat()
    for measure, values in one.measured.values.items():
        before = one.beside(measure) if one.untrained else np.zeros(0)
        uniform = float(flat.values[measure][0])
        against = _against(values.mean(), before)
        against["beyond"] = abs(one.change(measure)) if len(before) > 1 else None
        yield {**_where(one), "measure": measure, **_over_kernels(values), **against, "uniform": uniform}


def mass(found: Sequence[Layer]) -> pd.DataFrame:
    """One row a layer, specimen, power and window."""
    return pd.DataFrame([row for one in found for row in _mass(one)])


def _mass(one: Layer) -> Iterator[Row]:
    if one.measured is None:
        return
    whole = measured.mass(np.ones((1, *one.bank.field)))[0]
    for p in POWERS:
        curves, before, flat = one.measured.mass[p], one.mass_beside(p), one.flat().mass[p][0]
        for index, window in enumerate(one.windows):
            values = curves[:, index]
            yield {
                **_where(one),
                "p": p,
                "window": int(window),
                **_over_kernels(values),
                **_against(values.mean(), before[:, index] if len(before) else before),
                "uniform": flat[index],
                "uniform_map": whole[index],
            }


def components(found: Sequence[Layer]) -> pd.DataFrame:
    """One row a layer, specimen and principal component."""
    return pd.DataFrame([row for one in found for row in _components(one)])


def _components(one: Layer) -> Iterator[Row]:
    if one.measured is None:
        return
    before = one.pca_beside()
    for index, ratio in enumerate(one.measured.pca):
        against = _against(ratio, before[:, index] if len(before) else before)
        yield {**_where(one), "component": index + 1, "ratio": ratio, **against, "bound": one.rank_bound}


def recipe(one: Published) -> Iterator[Row]:
    """One row a stage and label of the notebook, or one with the reason that there is none."""
    if one.status != "ok":
        yield {"specimen": one.title, "status": one.status, "reason": one.reason}
    for number, stage in enumerate(one.stages):
        other = np.array([copy[number].recipe.mean for copy in one.before])
        for index, label in enumerate(stage.recipe.labels):
            inside = index < len(stage.centred.mean)
            yield {
                "specimen": one.title,
                "status": one.status,
                "stage": stage.name,
                "layers": " ".join(stage.layers),
                "map": text(stage.size),
                "grid": stage.grid,
                "label": int(label),
                "recipe_mean": stage.recipe.mean[index],
                "recipe_std": stage.recipe.std[index],
                **_against(stage.recipe.mean[index], other[:, index]),
                "centred_mean": stage.centred.mean[index] if inside else 1.0,
                "centred_std": stage.centred.std[index] if inside else 0.0,
            }


def _where(one: Layer) -> Row:
    return {"specimen": one.title, "layer": one.bank.layer, "map": text(one.bank.size)}


def _over_kernels(values: np.ndarray) -> Row:
    return {"mean": values.mean(), "std": values.std()} | {name: np.quantile(values, q) for name, q in QUANTILES.items()}


def _against(value: float, before: np.ndarray) -> Row:
    """What the untrained copies say of a mean; nothing where there is none."""
    return {
        "untrained": _mean(before) if len(before) else None,
        "untrained_sd": before.std(ddof=1) if len(before) > 1 else None,
        "beyond": int(beyond(value, before)) if len(before) > 1 else None,
        "seeds": len(before),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean())
