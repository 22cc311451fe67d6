"""The page of localisation, in markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from bench.analysis.localisation import measures
from bench.analysis.localisation.layers import HEADLINE, Layer
from bench.analysis.localisation.notebook import NotebookResult
from bench.analysis.localisation.tables import format_size
from bench.report import markdown
from bench.report.blocks import Block, Code, Footnotes, Heading, Inline, Paragraph, Table, join

WINDOW = 9  # px, the size that NIFF's authors mark
OTHER_MEASURES = {"k_eff_50": "k_eff(.5)", "rms_radius": "radius", "delta_share": "delta", "even_share": "even part"}
SAMPLED = f"rank and components of {measures.SAMPLE} evenly spaced kernels"
RECIPE = """\
For label 2 i + 1 the recipe uses the window [c - i, c + i). It leaves out the first block of a stage, and evaluates all
stages but the first on a grid of twice the size of their maps. *Mass* is that of the same kernels in a centred window,
at the size of their maps. In brackets is the mean of the untrained copies by the recipe.
"""
READING_NOTES = f"""
## How to read this

- The **mass** of a kernel in a k x k window is the share of the sum of |h| within (k - 1) / 2 pixels of its centre. **k_eff(.9)**
  is the smallest odd k that holds 90% of the mass. Both are means over the kernels of a layer.
- **Untrained** is the same value for untrained copies of the network, one per seed; ± is the standard deviation over seeds.
  Kernels are often localised by construction, so only the difference is learned.
- **Uniform** is the mass if all taps of the layer are equal.
- **Change of k_eff(.9)**: smaller or larger if the trained value is outside the 95% prediction interval for one more untrained
  copy and differs by at least half a pixel; otherwise no significant change.
- **Also changed** lists other measures outside that interval. k_eff(.5) holds half of the mass; radius is the root mean square
  distance from the centre, weighted by energy, which emphasises large taps; delta is the share of the central tap; even part is
  the share of the energy with h(d) = h(-d).
- **Rank** is the numerical rank of the kernels, with its upper bound from method, number of kernels and taps. If that bound is
  low (NIFF: 2 h + 1 for h hidden features in the last layer), a low rank is by construction, and so are few components in
  `pca.csv` that explain nearly all variance.
- **First component** is the share of the variance that it explains; in brackets is that of the untrained copies.

## Cautions

- Ratios ignore magnitude. Kernels whose norm is below {measures.NEGLIGIBLE:.0%} of their layer's root mean square norm are left
  out and counted in `layers.csv`; all others have the same weight.
- A kernel with little influence on the output counts like one with much: later norms and layers may scale it.
  `analyze receptive-field` measures on which part of the image an output depends.
- Many layers are tested, each at the 5% level: one in twenty may appear changed by chance.
- Weights that a training does not change keep their initial values: many small outer taps contribute to the sum of |h| but hardly
  to the energy. Read k_eff together with the radius, and with p = 2 in `mass.csv`.
- The effective size of a kernel is an odd integer. On a map of N pixels it is at most N, or N + 1 if N is even. On small maps a
  large share of mass in a small window means little; compare it with *uniform*.
"""


def page(layers: Sequence[Layer], seeds: int, recipes: Sequence[NotebookResult] | None) -> str:
    """Return the markdown page: a summary, a table per network, the notebook's recipe if requested, and reading notes."""
    blocks = [_overview(layers, seeds), *_networks(layers), *_recipe(recipes), Paragraph(prose=READING_NOTES)]
    return markdown.document(blocks)


def _overview(layers: Sequence[Layer], seeds: int) -> Paragraph:
    networks = dict.fromkeys(layer.network for layer in layers)
    sizes = dict.fromkeys(format_size(layer.network.size) for layer in layers)
    measured = sum(layer.measured is not None for layer in layers)
    counts = f"{_count(measured, 'layer')} of {_count(len(networks), 'network')}"
    copies = f"each compared with {_count(seeds, 'untrained copy', 'untrained copies')}."
    return Paragraph(prose=f"How large do filters get? {counts}, images of {', '.join(sizes)} px,\n{copies}")


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def _networks(layers: Sequence[Layer]) -> Iterator[Block]:
    for _, group in groupby(layers, lambda layer: layer.network):
        network_layers = list(group)
        yield Heading(2, network_layers[0].title)
        yield Paragraph(prose=_summary(network_layers))
        notes = Footnotes()
        lines = [_line(layer, notes) for layer in network_layers]
        yield Table(lines, left=("layer", "change of k_eff(.9)", "also changed"), notes=notes.texts)


def _summary(layers: Sequence[Layer]) -> str:
    if not layers[0].network.trained:
        return "This network is not trained: the table shows its initialisation."
    verdicts = Counter(layer.verdict for layer in layers if layer.verdict)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return f"Layers by change of k_eff(.9): {counts}." if counts else "No layer has kernels to measure."


def _line(layer: Layer, notes: Footnotes) -> dict[str, Inline]:
    line: dict[str, Inline] = {"layer": Code(layer.bank.layer) if layer.bank.layer else "", "map": format_size(layer.bank.size)}
    if layer.measured is None:
        return line | {"kernel": notes.failure(layer.bank.status, layer.bank.reason)}
    measured, untrained = layer.measured, layer.untrained
    index = min(WINDOW // 2, len(layer.windows) - 1)
    first = np.array([copy.pca[0] for copy in untrained])
    sampled = measured.decomposed < layer.bank.n - measured.near_zero
    return line | {
        "kernel": join(format_size(layer.bank.taps.shape), notes.mark(layer.bank.note) if layer.bank.note else ""),
        "kernels": f"{layer.bank.n:,}",
        "k_eff(.9), px": f"{measured.mean(HEADLINE):.1f}",
        "untrained, px": _mean_and_sd(layer.untrained_means(HEADLINE), 1) if untrained else "",
        f"mass in {WINDOW}x{WINDOW}": f"{measured.mass[1][:, index].mean():.2f}",
        "untrained": _mean_and_sd(layer.untrained_mass(1)[:, index], 2) if untrained else "",
        "uniform": f"{layer.uniform().mass[1][0, index]:.2f}",
        "rank": join(f"{measured.rank} of {layer.rank_bound}", notes.mark(SAMPLED) if sampled else ""),
        "first component": f"{measured.pca[0]:.2f}" + (f" ({first.mean():.2f})" if untrained else ""),
        "change of k_eff(.9)": layer.verdict,
        "also changed": ", ".join(_other_changes(layer)) if layer.verdict else "",
    }


def _other_changes(layer: Layer) -> Iterator[str]:
    for measure, name in OTHER_MEASURES.items():
        if sign := layer.change(measure):
            yield f"{name} {'up' if sign > 0 else 'down'}"


def _mean_and_sd(values: np.ndarray, digits: int) -> str:
    """Format the mean and the standard deviation over seeds."""
    return f"{values.mean():.{digits}f}" + (f" ±{values.std(ddof=1):.{digits}f}" if len(values) > 1 else "")


def _recipe(recipes: Sequence[NotebookResult] | None) -> Iterator[Block]:
    if recipes is None:
        return
    yield Heading(2, "Recipe of the published notebook")
    notes = Footnotes()
    lines = [line for result in recipes for line in _recipe_lines(result, notes)]
    if not lines:
        yield Paragraph("The recipe applies to NIFF layers only, and none of these networks has one.")
        return
    yield Paragraph(prose=RECIPE)
    yield Table(lines, left=("network", "stage"), notes=notes.texts)


def _recipe_lines(result: NotebookResult, notes: Footnotes) -> Iterator[dict[str, Inline]]:
    if result.status != "ok":
        yield {"network": result.title, "stage": notes.failure(result.status, result.reason)}
    for number, stage in enumerate(result.stages):
        index = min(WINDOW // 2, len(stage.recipe.mean) - 1)
        centred_index = min(WINDOW // 2, len(stage.centred.mean) - 1)
        untrained = np.mean([copy[number].recipe.mean[index] for copy in result.untrained])
        yield {
            "network": result.title,
            "stage": Code(stage.name),
            "grid": f"{stage.grid}x{stage.grid}",
            f"recipe, label {WINDOW}": f"{stage.recipe.mean[index]:.2f} ({untrained:.2f})",
            "map": format_size(stage.size),
            f"mass in {WINDOW}x{WINDOW}": f"{stage.centred.mean[centred_index]:.2f}",
            "components": " ".join(f"{ratio:.2f}" for ratio in stage.pca),
        }
