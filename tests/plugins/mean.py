"""Methods that violate the contract: the output of an image depends on others in its batch, or CUDA is initialised."""

import torch
from torch import nn

from methods import register


@register("mean_of_batch")
class MeanOfBatch(nn.Module):
    """Subtracts the mean over the batch."""

    def __init__(self, channels, resolution):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return self.scale * (x - x.mean(0))


@register("asks_for_cuda")
class AsksForCuda(MeanOfBatch):
    """Initialises CUDA in a CPU cell."""

    def forward(self, x):
        torch.cuda._lazy_init()
        return self.scale * x
