"""How large do filters get? The question of NIFF (Grabinski et al., TMLR 2024), for every method and every network.

A kernel may be as large as the map and still have most of its mass in a small window. Its mass, effective size and composition are
measured at the size of the layer's map, and compared with untrained copies of the network, because many kernels are localised
before any training, and with uniform mass.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis.epochs import last_epochs
from bench.analysis.localisation import figures, tables, text
from bench.analysis.localisation.layers import measure_layers, titled
from bench.analysis.localisation.notebook import apply_recipe
from bench.analysis.network import Network
from bench.analysis.output import Findings


def analyse(networks: Sequence[Network], seeds: int, notebook: bool) -> Findings:
    """Measure the kernels of the last saved epoch of each training.

    The tables are `layers`, `measures`, `mass` and `pca`, and with `notebook` that of the published recipe. Raises ValueError for
    weights of another network.
    """
    networks = last_epochs(networks)
    layers = measure_layers(networks, seeds)
    recipes = [apply_recipe(network, title, seeds) for network, title in titled(networks).items()] if notebook else None
    frames = {
        "layers": tables.layers_table(layers),
        "measures": tables.measures_table(layers),
        "mass": tables.mass_table(layers),
        "pca": tables.components_table(layers),
        "notebook": pd.DataFrame([row for recipe in recipes or () for row in tables.recipe_rows(recipe)]),
    }
    filled = {name: frame for name, frame in frames.items() if not frame.empty}
    return Findings("Localisation", text.page(layers, seeds, recipes), filled, figures.draw(layers), tables.COLUMNS)
