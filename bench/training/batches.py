"""Batches of a data set. They depend only on the seed, the epoch and the position in it, so a training can resume anywhere."""

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
from bench.training import distributed

if TYPE_CHECKING:
    from bench.data import Images

EVAL_BATCH = 256
Batch = tuple[Tensor, Tensor]


def training_batches(split: Images, size: int, seed: int, epoch: int, start: int) -> Iterator[Batch]:
    """Return this process's share of each batch of `size` images, from batch `start` of an epoch. A remainder is dropped."""
    generator = torch.Generator().manual_seed(combined_seed(seed, epoch))
    order = torch.randperm(length(split), generator=generator)[: length(split) // size * size]
    chunks = [chunk[distributed.rank() :: distributed.world()] for chunk in order.split(size)[start:]]
    return loaded(Seeded(split, combined_seed(seed, epoch)) if not isinstance(split, TensorDataset) else split, chunks)


def evaluation_batches(split: Images) -> Iterator[Batch]:
    """Return this process's share of all images, in order."""
    share = torch.arange(distributed.rank(), length(split), distributed.world())
    return loaded(split, [chunk for chunk in share.split(EVAL_BATCH) if len(chunk)])


def batch_size(split: Images, size: int) -> int:
    """Return the images per step of all processes: the batch size, or the whole split if it is smaller.

    Raises ValueError if the processes cannot divide it equally.
    """
    images = min(size, length(split))
    if images % distributed.world():
        raise ValueError(f"a batch of {images} images is not divisible among {distributed.world()} processes")
    return images


def length(split: Images) -> int:
    return len(split)  # type: ignore[arg-type]  # map-style data sets have a length, but their base class does not


def loaded(split: Images, chunks: list[Tensor]) -> Iterator[Batch]:
    """Return the batches of these indices, sliced from tensors in memory or else read by worker processes."""
    if isinstance(split, TensorDataset):
        return ((split.tensors[0][chunk], split.tensors[1][chunk]) for chunk in chunks)
    return read(split, min(8, (os.cpu_count() or 1) - 1), batch_sampler=[chunk.tolist() for chunk in chunks])


class Seeded(Dataset):
    """A data set whose random transforms depend only on the seed and the index of the image."""

    def __init__(self, split: Images, seed: int):
        self.split, self.seed = split, seed

    def __len__(self) -> int:
        return length(self.split)

    def __getitem__(self, index: int) -> Any:
        with temporary_seed(combined_seed(self.seed, index)):
            return self.split[index]


@contextmanager
def temporary_seed(seed: int) -> Iterator[None]:
    """Seed the CPU generators of Python, numpy and torch within the context, and restore their states afterwards."""
    before = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    seed_all(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.default_generator.set_state(before[2])


def seed_all(seed: int, device: str = "cpu") -> None:
    """Seed all generators that a training uses. (`torch.manual_seed` would also queue a call for each absent device.)"""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    if torch.device(device).type == "cuda":
        torch.cuda.manual_seed(seed)


def combined_seed(*numbers: int) -> int:
    """Return one seed from several numbers. Similar tuples, and tuples of other lengths, give independent seeds."""
    return int(np.random.SeedSequence((len(numbers), *numbers)).generate_state(1, np.uint64)[0] >> np.uint64(1))
