"""How large do filters get? The question of NIFF (Grabinski et al., TMLR 2024), asked of every method and every network.

A kernel may be as large as the map and still do its work in a small window. Its mass, its effective size and what it is made of are
measured at the size of map that the layer meets, beside untrained copies of the network, since many kernels are localised before
any training, and beside even mass.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis.epochs import last
from bench.analysis.localisation import figures, tables, text
from bench.analysis.localisation.layers import layers, named
from bench.analysis.localisation.notebook import published
from bench.analysis.network import Network
from bench.analysis.output import Findings


def analyse(specimens: Sequence[Network], seeds: int, notebook: bool) -> Findings:
    """Tables `layers`, `measures`, `mass`, `pca` and with `notebook` the published recipe; raises ValueError for bad weights.

    Of each training the last kept epoch is looked at.
    """
    specimens = last(specimens)
    found = layers(specimens, seeds)
    by_recipe = [published(one, name, seeds) for one, name in named(specimens).items()] if notebook else None
    made = {
        "layers": tables.layers(found),
        "measures": tables.measures(found),
        "mass": tables.mass(found),
        "pca": tables.components(found),
        "notebook": pd.DataFrame([row for one in by_recipe or () for row in tables.recipe(one)]),
    }
    filled = {name: table for name, table in made.items() if not table.empty}
    return Findings("Localisation", text.page(found, seeds, by_recipe), filled, figures.draw(found), tables.COLUMNS)
