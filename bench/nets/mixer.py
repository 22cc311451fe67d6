"""Host network that turns any operator into a classifier. Only the operator differs between methods."""

from __future__ import annotations

from torch import Tensor, nn

from bench.nets import NetworkSpec

MLP_RATIO = 2


def build(spec: NetworkSpec, *, width: int = 16, depth: int = 2, patch: int = 1) -> Mixer:
    return Mixer(spec, width, depth, patch)


class Block(nn.Module):
    """x + BN(operator(BN(x))), then x + MLP(BN(x)), on (B, C, H, W).

    The norm after the operator removes its scale, which at initialisation ranges from 1e-5 to 10 over the methods and for some
    grows with the map. Without it the residual branch would dominate some operators and be dominated by others. Its epsilon is 1e-8
    instead of 1e-5, because the output variance of some operators is very small.
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
    """Isotropic network in the style of MetaFormer (https://arxiv.org/abs/2111.11418): `depth` blocks of `width` channels.

    The stem maps non-overlapping patches of patch x patch pixels to one pixel. Global average pooling, a norm and a linear layer
    follow the blocks. Only the operator connects different pixels of a map: with the identity as operator, the host classifies by
    the histogram of patches. All norms are batch norms, which are affine in evaluation. A logit is therefore a sum of terms that
    each depend on one receptive field of the operators. With k x k kernels its side is patch * (1 + depth * (k - 1)) pixels.

    Raises ValueError if the sides of the images are not multiples of `patch`.
    """

    def __init__(self, spec: NetworkSpec, width: int, depth: int, patch: int = 1):
        super().__init__()
        assert spec.operator is not None  # checked by `bench.nets.build`
        operator, resolution = spec.operator, spec.resolution
        if any(side % patch for side in resolution):
            raise ValueError(f"the sides of images of {resolution[0]}x{resolution[1]} are not multiples of the patch size {patch}")
        maps = (resolution[0] // patch, resolution[1] // patch)
        self.stem = nn.Conv2d(spec.in_channels, width, patch, stride=patch)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, spec.classes)
        # The weights of the host are drawn before those of the operators: for a given seed they are the same for all methods.
        mlps = [channel_mlp(width) for _ in range(depth)]
        self.blocks = nn.Sequential(*(Block(operator(width, maps), mlp, width) for mlp in mlps))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, classes)."""
        x = self.blocks(self.stem(x))
        return self.head(self.norm(x.mean((-2, -1))))

    def no_weight_decay(self) -> set[str]:
        """Return the names of the operators' parameters (timm's convention).

        Decay of an implicit network does not decay its kernel.
        """
        return {name for name, _ in self.named_parameters() if ".operator." in name}


def channel_mlp(width: int) -> nn.Sequential:
    """Build BN, 1x1 convolution, GELU, 1x1 convolution."""
    hidden = MLP_RATIO * width
    return nn.Sequential(nn.BatchNorm2d(width), nn.Conv2d(width, hidden, 1), nn.GELU(), nn.Conv2d(hidden, width, 1))
