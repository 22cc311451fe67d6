"""The keywords of `bench.run`, for editors and type checkers. A test compares them with the options of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

Numbers: TypeAlias = int | str | Sequence[int | str]
Texts: TypeAlias = str | Sequence[str]
Quantity: TypeAlias = float | str  # a number, or text with a unit such as "5min" or "4GB"


class SweepKeywords(TypedDict, total=False):
    """The options of a sweep next to methods, resolutions, metrics and folder. A missing one has its default."""

    channels: Numbers
    kernel: Numbers
    batch: Numbers
    dtype: Texts
    device: Texts
    mode: Texts
    threads: Numbers
    seed: Numbers
    level: Literal["op", "model"]
    backbone: Texts
    timer: Literal["cold", "hot", "graph", "wall"]
    rounds: int
    max_rounds: int
    target: Quantity
    overrides: Texts | Mapping[str, object]
    baseline: str
    data: Texts
    download: bool
    seeds: int
    recipe: str
    budget: str
    train_res: int
    eval_res: Numbers
    train: Texts | Mapping[str, object]
    keep_weights: Literal["last", "epochs"]
    save_every: Quantity
    at_once: int
    plugins: str | Path | Sequence[str | Path]
    executor: Literal["process", "inline"]
    start: Literal["forkserver", "spawn"]
    malloc: Literal["tuned", "default"]
    timeout: Quantity
    max_cell_time: Quantity
    mem_limit: Quantity
    force: bool
    retry: Literal["failed"]
    figures: bool
