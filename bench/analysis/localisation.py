"""How large do filters get? The question of NIFF (Grabinski et al., TMLR 2024), asked of every method and every network.

A kernel may be as large as the map and still do its work in a small window. Its mass, its effective size and what it is made of are
measured at the size of map that the layer meets, beside untrained copies of the network, since many kernels are localised before
any training, and beside even mass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.analysis import localisation_figures as figures
from bench.analysis import localisation_notebook as recipe
from bench.analysis import localisation_tables as tables
from bench.analysis import localisation_text as text
from bench.analysis.history import last
from bench.analysis.localisation_layers import begun, layers
from bench.analysis.output import Findings
from bench.analysis.specimen import Specimen
from methods import Unsupported

Stages = Mapping[Specimen, tuple[list[recipe.Stage], list[list[recipe.Stage]]]]


def analyse(specimens: Sequence[Specimen], seeds: int, notebook: bool) -> Findings:
    """Tables `layers`, `measures`, `mass`, `pca` and with `notebook` the published recipe; raises ValueError for bad weights.

    Of each training the last kept epoch is looked at.
    """
    specimens = last(specimens)
    found = layers(specimens, seeds)
    stages = published(specimens, seeds) if notebook else {}
    made = {
        "layers": tables.layers(found),
        "measures": tables.measures(found),
        "mass": tables.mass(found),
        "pca": tables.components(found),
        "notebook": pd.DataFrame([row for one, (now, before) in stages.items() for row in tables.recipe(one, now, before)]),
    }
    named = {tables.title(one): pair for one, pair in stages.items()} if notebook else None
    filled = {name: table for name, table in made.items() if not table.empty}
    return Findings("Localisation", text.page(found, seeds, named), filled, figures.draw(found), tables.COLUMNS)


def published(specimens: Sequence[Specimen], seeds: int) -> Stages:
    """By specimen its stages by the notebook's recipe, and those of its untrained copies; not where it cannot be built."""
    found = {}
    for one in specimens:
        try:
            now = recipe.stages(one.network())
        except Unsupported:
            continue  # a row of `layers` says so
        found[one] = now, [recipe.stages(begun(one).fresh(seed)) for seed in range(seeds)] if now else []
    return found
