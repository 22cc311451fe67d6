"""The host network that turns any operator into a classifier: the same for every method, only the operator differs."""

from __future__ import annotations

from torch import Tensor, nn

from bench.nets import Build, Size

MLP_RATIO = 2


def build(
    name: str, operator: Build, classes: int, in_channels: int, resolution: Size, width: int = 16, depth: int = 2, patch: int = 1
) -> Mixer:
    return Mixer(operator, classes, in_channels, width, depth, resolution, patch)


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

    The stem turns each patch x patch pixels, which do not overlap, into one; a global mean, a norm and a linear layer end it.
    Nothing but the operator looks beyond one pixel of the maps: with the identity for an operator the host classifies by the
    histogram of patches alone. All norms are batch norms, affine in evaluation: a logit is a sum of terms, none of which sees more
    than the receptive field of the operators. With kernels of k x k that is a square of patch * (1 + depth * (k - 1)) pixels.
    """

    def __init__(self, operator: Build, classes: int, in_channels: int, width: int, depth: int, resolution: Size, patch: int = 1):
        super().__init__()
        if any(side % patch for side in resolution):
            raise ValueError(f"images of {resolution[0]}x{resolution[1]} are not made of patches of {patch}x{patch}")
        maps = (resolution[0] // patch, resolution[1] // patch)
        self.stem = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, classes)
        # All of the host before the first operator: under one seed its weights are the same for every method.
        mlps = [channel_mlp(width) for _ in range(depth)]
        self.blocks = nn.Sequential(*(Block(operator(width, maps), mlp, width) for mlp in mlps))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes)."""
        x = self.blocks(self.stem(x))
        return self.head(self.norm(x.mean((-2, -1))))

    def no_weight_decay(self) -> set[str]:
        """Names of the operators' parameters (timm's convention): to decay an implicit network is not to decay its kernel."""
        return {name for name, _ in self.named_parameters() if ".operator." in name}


def channel_mlp(width: int) -> nn.Sequential:
    """BN, 1x1 convolution, GELU, 1x1 convolution."""
    hidden = MLP_RATIO * width
    return nn.Sequential(nn.BatchNorm2d(width), nn.Conv2d(width, hidden, 1), nn.GELU(), nn.Conv2d(hidden, width, 1))
