"""The host network that turns any operator into a classifier: the same for every method, only the operator differs."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Build = Callable[[int, tuple[int, int]], nn.Module]  # channels, resolution -> operator
MLP_RATIO = 2


class Block(nn.Module):
    """x + BN(operator(BN(x))), then x + MLP(BN(x)), on (B, C, H, W).

    The norm after the operator takes out its scale, which at initialisation ranges over the methods from 1e-5 to 10 and grows with
    the map in some: without it the residual sum would hide some operators and drown in others. Its epsilon of 1e-8 (not 1e-5)
    lets the quietest be heard.
    """

    def __init__(self, operator: nn.Module, mlp: nn.Module, width: int):
        super().__init__()
        self.before = nn.BatchNorm2d(width)
        self.operator = operator
        self.after = nn.BatchNorm2d(width, eps=1e-8)
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.after(self.operator(self.before(x)))
        return x + self.mlp(x)


class Mixer(nn.Module):
    """Isotropic network in the manner of MetaFormer (https://arxiv.org/abs/2111.11418): `depth` blocks of `width` channels.

    A 1x1 stem keeps the resolution, so an operator sees maps of res x res; a global mean, a norm and a linear layer end it. Nothing
    but the operator looks at more than one pixel: with the identity for an operator the host classifies by the histogram alone.
    All norms are batch norms, affine in evaluation: a logit is a sum of terms no wider than the receptive field of the operators.
    """

    def __init__(self, operator: Build, classes: int, in_channels: int, width: int, depth: int, res: int):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 1)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, classes)
        # All of the host before the first operator: under one seed its weights are the same for every method.
        mlps = [channel_mlp(width) for _ in range(depth)]
        self.blocks = nn.Sequential(*(Block(operator(width, (res, res)), mlp, width) for mlp in mlps))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, res, res) to logits (B, classes)."""
        x = self.blocks(self.stem(x))
        return self.head(self.norm(x.mean((-2, -1))))

    def no_weight_decay(self) -> set[str]:
        """Names of the operators' parameters (timm's convention): to decay an implicit network is not to decay its kernel."""
        return {name for name, _ in self.named_parameters() if ".operator." in name}


def channel_mlp(width: int) -> nn.Sequential:
    """BN, 1x1 convolution, GELU, 1x1 convolution."""
    hidden = MLP_RATIO * width
    return nn.Sequential(nn.BatchNorm2d(width), nn.Conv2d(width, hidden, 1), nn.GELU(), nn.Conv2d(hidden, width, 1))
