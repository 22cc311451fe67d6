"""The geometry of Pathfinder: dashed curves that do not touch.

After the description by Linsley et al. 2018, https://arxiv.org/abs/1805.08315. A snake is a sequence of straight paddles with
gaps. The angle between consecutive paddles is random, with weights of a squared cosine. All lengths are integers in units of
1/1024 pixel and all headings integers in degrees, so that there are no rounding errors and the snakes are identical on every
machine.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

UNIT = 1024  # units per pixel
DIRECTIONS = np.array([[round(UNIT * math.cos(a)), round(UNIT * math.sin(a))] for a in np.deg2rad(np.arange(360))])
TURNS = 24  # candidate turns per paddle
RETREATS = 60  # dead ends from which the contours of an image are shortened before both are restarted
LONGEST_RETREAT = 4  # paddles
TRIES = 5  # starting points per distractor

Paddle = tuple[int, int, int]  # tail x, y in units, heading in degrees
Snake = list[Paddle]


class Shape(NamedTuple):
    """The parameters of a resolution. Lengths are in pixels."""

    res: int
    paddle: int
    thickness: float
    margin: int  # half of a gap in a snake; the minimum distance of snakes is two margins plus the thickness
    radius: float  # of a marker
    seed_distance: int
    continuity: float  # the maximum turn is 90 degrees divided by this
    contrast: float  # brightness of a fully covered pixel of a paddle
    distractor_paddles: int  # total number
    padding: int = 1


class Scene(NamedTuple):
    """Two contours and the distractors. The markers are on the tail of contour `origin` and on the head of contour `terminal`."""

    shape: Shape
    contours: tuple[Snake, Snake]
    distractors: list[Snake]
    origin: int
    terminal: int

    @property
    def label(self) -> int:
        return int(self.origin == self.terminal)

    def tips(self) -> np.ndarray:
        """Return the positions of the two markers (2, 2) in units: origin, terminal."""
        return np.stack([tail(self.contours[self.origin]), head(self.contours[self.terminal], self.shape)])


def scene(shape: Shape, length: int, draw: np.random.Generator) -> Scene:
    """Generate the snakes of an image. The label is drawn last, so that the contours do not depend on it."""
    contours = None
    while contours is None:
        contours = pair(shape, length, draw)
    longest = max(2, length // 3)
    distractors: list[Snake] = []
    for _ in range(shape.distractor_paddles // longest):
        distractors += distractor(shape, longest, [*contours, *distractors], draw)
    origin, label = draw.integers(0, 2, 2).tolist()
    return Scene(shape, contours, distractors, origin, origin if label else 1 - origin)


def pair(shape: Shape, length: int, draw: np.random.Generator) -> tuple[Snake, Snake] | None:
    """Grow two contours in turn. Return None if they are stuck or two of their four tips are too close for a marker each."""
    inset = 2 * shape.seed_distance
    first = UNIT * draw.integers(inset, shape.res - inset + 1, 2)
    second = first + shape.seed_distance * DIRECTIONS[draw.integers(360)]
    headings = draw.integers(0, 360, 2).tolist()
    snakes: tuple[Snake, Snake] = tuple([(*start.tolist(), heading)] for start, heading in zip((first, second), headings))  # type: ignore[assignment]
    if not fits(np.array([snake[0] for snake in snakes]), np.empty((0, 3), int), shape).all():
        return None
    for _ in range(RETREATS):
        while min(map(len, snakes)) < length:
            growing = snakes[len(snakes[0]) > len(snakes[1])]
            if not grow(growing, snakes, shape, draw):
                break
        else:
            return snakes if apart(snakes, shape) else None
        del growing[max(1, len(growing) - int(draw.integers(1, LONGEST_RETREAT + 1))) :]
    return None


def distractor(shape: Shape, length: int, others: list[Snake], draw: np.random.Generator) -> list[Snake]:
    """Return a list with one snake of at most `length` paddles in the free space, or an empty list if none fits."""
    for _ in range(TRIES):
        start = (*(draw.integers(0, shape.res * UNIT, 2)).tolist(), int(draw.integers(360)))
        if fits(np.array([start]), as_array(others), shape).all():
            snake: Snake = [start]
            while len(snake) < length and grow(snake, [*others, snake], shape, draw):
                pass
            return [snake]
    return []


def grow(snake: Snake, snakes: list[Snake] | tuple[Snake, Snake], shape: Shape, draw: np.random.Generator) -> bool:
    """Add a paddle to one of `snakes`. Return False if no turn leads to free space."""
    options, weights = next_paddles(snake[-1], shape)
    before = as_array([other[:-1] if other is snake else other for other in snakes])
    total = np.cumsum(weights * fits(options, before, shape))
    if not total[-1]:
        return False
    chosen = options[np.searchsorted(total, draw.integers(total[-1]), side="right")]
    snake.append(tuple(chosen.tolist()))
    return True


def next_paddles(last: Paddle, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return the candidates (TURNS, 3) for the next paddle, after the gap, and their integer weights."""
    turns, weights = candidate_turns(shape.continuity)
    headings = (last[2] + turns) % 360
    pivot = np.array(last[:2]) + (shape.paddle + shape.margin) * DIRECTIONS[last[2]]  # the midpoint of the gap
    return np.concatenate([pivot + shape.margin * DIRECTIONS[headings], headings[:, None]], 1), weights


@lru_cache
def candidate_turns(continuity: float) -> tuple[np.ndarray, np.ndarray]:
    """Return turns in degrees and their integer weights, 1000 cos^2(continuity * turn)."""
    limit = 90 / continuity
    turns = np.array([round(limit * (2 * (i + 0.5) / TURNS - 1)) for i in range(TURNS)])
    return turns, np.array([round(1000 * math.cos(math.radians(continuity * turn)) ** 2) for turn in turns.tolist()])


def fits(options: np.ndarray, others: np.ndarray, shape: Shape) -> np.ndarray:
    """Return which paddles (N, 3) are inside the padding and clear of all `others` (M, 3), tested at three points of each."""
    own, other = points(options, shape), points(others, shape)
    inside = (own >= shape.padding * UNIT) & (own <= (shape.res - shape.padding) * UNIT)
    across, down = (own[..., axis].reshape(-1, 1) - other[..., axis].ravel() for axis in (0, 1))  # (3N, 3M)
    clear = across * across + down * down >= clearance(shape) ** 2
    return inside.all((1, 2)) & clear.reshape(len(options), -1).all(1)


def clearance(shape: Shape) -> int:
    return int((2 * shape.margin + shape.thickness) * UNIT)


def points(paddles: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the tail, midpoint and head (N, 3, 2) of paddles (N, 3)."""
    return paddles[:, None, :2] + np.arange(3)[:, None] * shape.paddle * DIRECTIONS[paddles[:, None, 2]] // 2


def as_array(snakes: list[Snake]) -> np.ndarray:
    return np.array([paddle for snake in snakes for paddle in snake], int).reshape(-1, 3)


def tail(snake: Snake) -> np.ndarray:
    return np.array(snake[0][:2])


def head(snake: Snake, shape: Shape) -> np.ndarray:
    return points(as_array([snake[-1:]]), shape)[0, 2]


def apart(snakes: tuple[Snake, Snake], shape: Shape) -> bool:
    """Return whether markers on any two of the four tips would be at least one pixel apart."""
    tips = np.stack([end for snake in snakes for end in (tail(snake), head(snake, shape))])
    gaps = ((tips[:, None] - tips) ** 2).sum(-1)[np.triu_indices(4, 1)]
    return bool((gaps >= ((2 * shape.radius + 1) * UNIT) ** 2).all())
