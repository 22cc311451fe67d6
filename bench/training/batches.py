"""Batches of a data set, whose contents depend on the seed, the epoch and the place in it alone: a training can go on anywhere."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from bench.data._readers import read
from bench.training import distributed as ranks

if TYPE_CHECKING:
    from bench.data import Images

EVAL_BATCH = 256
Batch = tuple[Tensor, Tensor]


def training_batches(part: Images, size: int, seed: int, epoch: int, start: int) -> Iterator[Batch]:
    """This process's share of each batch of `size` images, from batch `start` of an epoch on. A remainder is left out."""
    generator = torch.Generator().manual_seed(mixed(seed, epoch))
    order = torch.randperm(length(part), generator=generator)[: length(part) // size * size]
    chunks = [chunk[ranks.rank() :: ranks.world()] for chunk in order.split(size)[start:]]
    return loaded(Seeded(part, mixed(seed, epoch)) if not isinstance(part, TensorDataset) else part, chunks)


def evaluation_batches(part: Images) -> Iterator[Batch]:
    """This process's share of all images, in order."""
    share = torch.arange(ranks.rank(), length(part), ranks.world())
    return loaded(part, [chunk for chunk in share.split(EVAL_BATCH) if len(chunk)])


def batch_of(part: Images, size: int) -> int:
    """Images of a step of all processes: the whole of a part that is smaller than a batch; raises ValueError if not divisible."""
    images = min(size, length(part))
    if images % ranks.world():
        raise ValueError(f"a batch of {images} images is not divisible among {ranks.world()} processes")
    return images


def length(part: Images) -> int:
    return len(part)  # type: ignore[arg-type]  # map-style data sets have a length, their base class has none


def loaded(part: Images, chunks: list[Tensor]) -> Iterator[Batch]:
    """Batches of these indices: sliced from tensors in memory, else read by worker processes."""
    if isinstance(part, TensorDataset):
        return ((part.tensors[0][chunk], part.tensors[1][chunk]) for chunk in chunks)
    return read(part, min(8, (os.cpu_count() or 1) - 1), batch_sampler=[chunk.tolist() for chunk in chunks])


class Seeded(Dataset):
    """A data set whose random transforms depend on the seed and the image's index, not on what was read before."""

    def __init__(self, part: Images, seed: int):
        self.part, self.seed = part, seed

    def __len__(self) -> int:
        return length(self.part)

    def __getitem__(self, index: int) -> Any:
        with randomness(mixed(self.seed, index)):
            return self.part[index]


@contextmanager
def randomness(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's generators of the processor, begun from `seed`, and put back afterwards."""
    before = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    begin(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.default_generator.set_state(before[2])


def begin(seed: int, device: str = "cpu") -> None:
    """Begin every generator that training draws from anew. (`torch.manual_seed` queues a call for each absent device.)"""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    if torch.device(device).type == "cuda":
        torch.cuda.manual_seed(seed)


def mixed(*parts: int) -> int:
    """One seed of several numbers, such that near ones give unrelated seeds, and so do more of them."""
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1, np.uint64)[0] >> np.uint64(1))
