"""What localisation found, in markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from bench.analysis.localisation import measures as measured
from bench.analysis.localisation.layers import HEADLINE, Layer
from bench.analysis.localisation.notebook import Published
from bench.analysis.localisation.tables import text
from bench.report.text import Footnotes, code, escape, table

WINDOW = 9  # px, the size that NIFF's authors mark
ALSO = {"k_eff_50": "k_eff(.5)", "rms_radius": "radius", "delta_share": "delta", "even_share": "even part"}
SAMPLED = f"rank and components of {measured.SAMPLE} of the kernels, at equal distances"
READING = f"""
## How to read this

- A kernel's **mass** in a k x k window is the share of the sum of |h| within (k - 1) / 2 pixels of its centre; **k_eff(.9)** is the
  smallest odd k that holds 90% of it. Both are means over the kernels of a layer.
- **Untrained** is the same of fresh copies of the network, one a seed; ± is the standard deviation over seeds. Kernels are often
  localised before any training, by how they are made: only the difference is learned. It is called one where the trained figure is
  outside the 95% prediction interval for one more untrained copy, and half a pixel away.
- **Uniform** is the mass where all taps of the layer are alike.
- **Also changed**: other measures beyond the same spread. k_eff(.5) holds half of the mass; radius is the root mean square distance
  from the centre by energy, where large taps count most; delta is the share of the central tap; even part is that of h(d) = h(-d).
- **Rank** is how many dimensions the kernels span, beside the most that their method, number and taps allow. A low rank, and few
  components in `pca.csv` that explain nearly all variance, are built in where that bound is low (NIFF: 2 h + 1 for h hidden
  features in the last layer). The share of variance of the **first component** has that of the untrained copies in brackets.

## Cautions

- Ratios ignore magnitude. Kernels of less than {measured.SILENT:.0%} of their layer's root mean square norm are left out, and
  counted in `layers.csv`; all others count alike.
- A kernel that the network hardly uses counts like one that it needs: norms and layers behind may scale it. What of an image an
  output depends on is another question (`analyze receptive-field`).
- Many layers are tested, each at 5%: one of twenty may be called different by chance.
- Weights that a training leaves alone stay as they were drawn: many small taps far out count in the sum of |h| and hardly in the
  energy. Read k_eff beside the radius, and p = 2 in `mass.csv`.
- An effective size is a whole odd number for each kernel. On a map of N pixels it cannot pass N, or N + 1 where N is even: large
  shares of mass in small windows say little on small maps, which is what *uniform* shows.
"""


def page(found: Sequence[Layer], seeds: int, by_recipe: Sequence[Published] | None) -> str:
    """Markdown: what was looked at, a table a network, the notebook's recipe where it was asked for, how to read them."""
    return "\n".join([*_looked_at(found, seeds), *_networks(found), *_recipe(by_recipe), READING])


def _looked_at(found: Sequence[Layer], seeds: int) -> Iterator[str]:
    networks = dict.fromkeys(one.specimen for one in found)
    sizes = dict.fromkeys(text(one.specimen.size) for one in found)
    seen = sum(one.measured is not None for one in found)
    looked = f"{_count(seen, 'layer')} of {_count(len(networks), 'network')}"
    yield f"How large do filters get? {looked}, images of {', '.join(sizes)} px,"
    yield f"beside {_count(seeds, 'untrained copy', 'untrained copies')} of each.\n"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _networks(found: Sequence[Layer]) -> Iterator[str]:
    for _, group in groupby(found, lambda one: one.specimen):
        layers = list(group)
        yield f"## {escape(layers[0].title)}\n"
        yield _summary(layers) + "\n"
        notes = Footnotes()
        yield table([_line(one, notes) for one in layers], left=("layer", "verdict by k_eff(.9)", "also changed"))
        yield from notes.below()


def _summary(layers: Sequence[Layer]) -> str:
    if not layers[0].specimen.trained:
        return "This network is not trained: it shows where training would begin."
    verdicts = Counter(one.verdict for one in layers if one.verdict)
    listed = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return f"Layers by their effective size: {listed}." if listed else "No layer has kernels to measure."


def _line(one: Layer, notes: Footnotes) -> dict[str, str]:
    line = {"layer": code(one.bank.layer) if one.bank.layer else "", "map": text(one.bank.size)}
    if one.measured is None:
        return line | {"kernel": notes.failure(one.bank.status, one.bank.reason)}
    now, before = one.measured, one.untrained
    inside = min(WINDOW // 2, len(one.windows) - 1)
    first = np.array([seed.pca[0] for seed in before])
    sampled = now.m < one.bank.n - now.near_zero
    return line | {
        "kernel": text(one.bank.taps.shape) + (notes.mark(one.bank.note) if one.bank.note else ""),
        "kernels": f"{one.bank.n:,}",
        "k_eff(.9), px": f"{now.mean(HEADLINE):.1f}",
        "untrained, px": _spread(one.beside(HEADLINE), 1) if before else "",
        f"mass in {WINDOW}x{WINDOW}": f"{now.mass[1][:, inside].mean():.2f}",
        "untrained": _spread(one.mass_beside(1)[:, inside], 2) if before else "",
        "uniform": f"{one.flat().mass[1][0, inside]:.2f}",
        "rank": f"{now.rank} of {one.rank_bound}" + (notes.mark(SAMPLED) if sampled else ""),
        "first component": f"{now.pca[0]:.2f}" + (f" ({first.mean():.2f})" if before else ""),
        "verdict by k_eff(.9)": one.verdict,
        "also changed": ", ".join(_changes(one)) if one.verdict else "",
    }


def _changes(one: Layer) -> Iterator[str]:
    """What else is beyond the untrained copies' spread."""
    for measure, name in ALSO.items():
        if sign := one.change(measure):
            yield f"{name} {'up' if sign > 0 else 'down'}"


def _spread(values: np.ndarray, digits: int) -> str:
    """Mean and standard deviation over seeds."""
    return f"{values.mean():.{digits}f}" + (f" ±{values.std(ddof=1):.{digits}f}" if len(values) > 1 else "")


def _recipe(by_recipe: Sequence[Published] | None) -> Iterator[str]:
    if by_recipe is None:
        return
    yield "## By the published notebook\n"
    notes = Footnotes()
    lines = [line for one in by_recipe for line in _recipe_lines(one, notes)]
    if not lines:
        yield "Its recipe is for NIFF layers, and none of these networks has one.\n"
        return
    yield "The recipe takes the window [c - i, c + i) for 2 i + 1, leaves out the first block of a stage, and probes all stages but"
    yield "the first at twice the size of their maps. Beside it the same kernels in centred windows at the size of their maps; in"
    yield "brackets the mean of untrained copies by the recipe.\n"
    yield table(lines, left=("network", "stage"))
    yield from notes.below()


def _recipe_lines(one: Published, notes: Footnotes) -> Iterator[dict[str, str]]:
    if one.status != "ok":
        yield {"network": escape(one.title), "stage": notes.failure(one.status, one.reason)}
    for number, stage in enumerate(one.stages):
        at, right = min(WINDOW // 2, len(stage.recipe.mean) - 1), min(WINDOW // 2, len(stage.centred.mean) - 1)
        untrained = np.mean([copy[number].recipe.mean[at] for copy in one.before])
        yield {
            "network": escape(one.title),
            "stage": code(stage.name),
            "grid": f"{stage.grid}x{stage.grid}",
            f"recipe, label {WINDOW}": f"{stage.recipe.mean[at]:.2f} ({untrained:.2f})",
            "map": text(stage.size),
            f"mass in {WINDOW}x{WINDOW}": f"{stage.centred.mean[right]:.2f}",
            "components": " ".join(f"{ratio:.2f}" for ratio in stage.pca),
        }
