"""Rasterise Pathfinder images: paddles and markers, sampled at 4 x 4 points per pixel in integers."""

from __future__ import annotations

import numpy as np

from bench.data._pathfinder.snakes import DIRECTIONS, UNIT, Scene, as_array

FINE = 4  # points per pixel along each axis
STEP = UNIT // FINE


def picture(scene: Scene) -> np.ndarray:
    """Return the image (res, res), uint8: paddles at the contrast of the shape, markers at full brightness, combined by maximum."""
    paddles = np.minimum(255, shaded(lines(scene)) * round(100 * scene.shape.contrast) // 100)
    return np.maximum(paddles, shaded(discs(scene))).astype(np.uint8)


def shaded(fine: np.ndarray) -> np.ndarray:
    """Return the share of covered points per pixel, scaled to 0..255."""
    res = len(fine) // FINE
    return fine.reshape(res, FINE, res, FINE).sum((1, 3)) * 255 // FINE**2


def lines(scene: Scene) -> np.ndarray:
    """Return the points (FINE res, FINE res), rows first, that a paddle covers. Paddles are rectangles."""
    shape = scene.shape
    paddles = as_array([*scene.contours, *scene.distractors])
    along = DIRECTIONS[paddles[:, 2]]
    grid = around(paddles[:, :2], (shape.paddle + 1) * UNIT)
    x, y = np.moveaxis(grid * STEP + STEP // 2 - paddles[:, None, :2], -1, 0)  # from the tail
    forward = x * along[:, :1] + y * along[:, 1:]
    aside = x * along[:, 1:] - y * along[:, :1]
    covered = (forward >= 0) & (forward <= shape.paddle * UNIT**2) & (2 * np.abs(aside) <= shape.thickness * UNIT**2)
    return marked(grid[covered], shape.res)


def discs(scene: Scene) -> np.ndarray:
    """Return the points (FINE res, FINE res) that a marker covers."""
    tips, radius = scene.tips(), scene.shape.radius * UNIT
    grid = around(tips, int(radius))
    offsets = grid * STEP + STEP // 2 - tips[:, None]
    return marked(grid[(offsets**2).sum(-1) <= radius**2], scene.shape.res)


def around(centres: np.ndarray, reach: int) -> np.ndarray:
    """Return the indices (N, P, 2) of the fine points in a square around each centre (N, 2)."""
    side = np.arange(-(reach // STEP) - 1, reach // STEP + 2)
    square = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    return centres[:, None] // STEP + square


def marked(indices: np.ndarray, res: int) -> np.ndarray:
    """Return an array of zeros with ones at the indices (N, 2: x, y) that lie inside."""
    fine = np.zeros((res * FINE, res * FINE), int)
    x, y = indices[((indices >= 0) & (indices < res * FINE)).all(-1)].T
    fine[y, x] = 1
    return fine
