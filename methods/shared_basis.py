"""Deeply shared filter bases: dense convolutions factored over basis filters that several layers share.

Kang and Kim, "Learning Shared Filter Bases for Efficient ConvNets", NeurIPS 2021, https://arxiv.org/abs/2006.05066. A layer is

    z = [U * x ; S * x]        u unique, then s shared filters, each C x K x K, no bias
    y = A BN(z)                coefficients A of shape C x (u + s), no bias

The layer is linear between basis and coefficients, so in inference it equals one dense convolution; see `fold`. A frozen operator
runs as one dense convolution if that costs no more than the two factors, (u + s)(K K + 1) >= C K K.

Differences from the published code:
- U is initialised with orthonormal rows, as S is. Published: normal with variance 2 / (u K K), which gives squared row norms near
  2 C / u that the regulariser then reduces to 1. `init="official"` selects that.
- The u + s basis filters are one convolution instead of two and a concatenation (equal up to rounding).
- Several bases in one group (the published "Double") are each initialised orthonormal, not jointly. `orthogonality` treats them
  jointly.
- This is a single convolution. The residual blocks are part of the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.conv import odd_sizes
from methods.parts.cost import Flops
from methods.parts.freezing import Freezable
from methods.registry import Resolution, Unsupported, register

LAMBDA = 10.0  # weight of the regulariser in every published training


class SharedBasis(nn.Module):
    """The s filters (s, C, Kh, Kw) that the operators of a group share, initialised with orthonormal rows."""

    def __init__(self, rank: int, channels: int, size: tuple[int, int]):
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(rank, channels, *size)))
        self.users = 1  # number of operators that use it


@register("shared_basis", paper="https://arxiv.org/abs/2006.05066")
class SharedBasisConv(Freezable):
    """Dense convolution as a 1x1 combination of basis filters, most of them shared between layers.

    `shared_rank` s defaults to C / 2 and `unique_rank` u to C / 64 rounded up; either may be 0. The cost is proportional to K * K,
    as for a dense convolution, so kernels above K = 11 are supported but not efficient. Raises `Unsupported` for even kernels,
    negative ranks and u + s = 0.
    """

    mixes_channels = True

    def __init__(
        self,
        channels: int,
        resolution: Resolution,
        kernel_size: int = 3,
        shared_rank: int | None = None,
        unique_rank: int | None = None,
        init: Literal["orthogonal", "official"] = "orthogonal",
    ):
        super().__init__()
        shared = channels // 2 if shared_rank is None else shared_rank
        unique = -(-channels // 64) if unique_rank is None else unique_rank
        if min(shared, unique) < 0 or shared + unique == 0:
            raise Unsupported(f"ranks must be 0 or more and not both 0, not {shared} shared and {unique} unique")
        if init not in ("orthogonal", "official"):
            raise Unsupported(f"init must be orthogonal or official, not {init!r}")
        size = odd_sizes(kernel_size, resolution)
        self.padding = (size[0] // 2, size[1] // 2)
        self.basis = SharedBasis(shared, channels, size)
        self.unique = nn.Parameter(torch.empty(unique, channels, *size))
        self.norm = nn.BatchNorm2d(unique + shared)
        self.coefficients = nn.Parameter(torch.empty(channels, unique + shared, 1, 1))
        self.reset_parameters(init)

    def reset_parameters(self, init: str) -> None:
        """Initialise A as normal with variance 2 / C (He, fan-out), U with orthonormal rows.

        With "official" U is normal with variance 2 / (u Kh Kw).
        """
        nn.init.kaiming_normal_(self.coefficients, mode="fan_out", nonlinearity="relu")
        if init == "official" and len(self.unique):
            nn.init.kaiming_normal_(self.unique, mode="fan_out", nonlinearity="relu")
        else:
            nn.init.orthogonal_(self.unique)

    @classmethod
    def stack(cls, n: int, channels: int, resolution: Resolution, **options: Any) -> nn.ModuleList:
        """Build n operators that share one basis. `options` are those of the constructor."""
        operators = [cls(channels, resolution, **options) for _ in range(n)]
        for operator in operators[1:]:
            operator.share(operators[0].basis)
        return nn.ModuleList(operators)

    def share(self, basis: SharedBasis) -> None:
        """Use the basis of another operator. Raises ValueError if its shape differs."""
        if basis.weight.shape != self.basis.weight.shape:
            raise ValueError(f"a basis of shape {tuple(basis.weight.shape)} cannot replace {tuple(self.basis.weight.shape)}")
        self.basis.users -= 1
        basis.users += 1
        self.basis = basis

    def forward(self, x: Tensor) -> Tensor:
        if self._frozen:
            return self._frozen_forward(x)
        responses = F.conv2d(x, self._filters(), padding=self.padding)  # (B, u+s, H, W)
        return F.conv2d(self.norm(responses), self.coefficients)

    def _frozen_forward(self, x: Tensor) -> Tensor:
        filters, coefficients, bias = self.cached(self._dense if self._fold_pays() else self._factored)
        if coefficients is None:
            return F.conv2d(x, filters, bias, padding=self.padding)
        return F.conv2d(F.conv2d(x, filters, padding=self.padding), coefficients, bias)

    def _filters(self) -> Tensor:
        """Return [U ; S], (u+s, C, Kh, Kw)."""
        return torch.cat([self.unique, self.basis.weight])

    def _dimensions(self) -> tuple[int, int, int]:
        """Return C, u+s and the number of weights per filter, C * Kh * Kw."""
        channels, rank = self.coefficients.shape[:2]
        return channels, rank, self.unique.shape[1:].numel()

    def _fold_pays(self) -> bool:
        """Return True if one dense convolution costs no more than the two factors."""
        channels, rank, taps = self._dimensions()
        return rank * (taps + channels) >= channels * taps

    def _factored(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return filters, coefficients (C, u+s, 1, 1) and bias (C), with the running statistics of the batch norm folded in."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        coefficients = self.coefficients[:, :, 0, 0]
        return self._filters(), (coefficients * scale)[:, :, None, None], (coefficients * shift).sum(1)

    def _dense(self) -> tuple[Tensor, None, Tensor]:
        filters, coefficients, bias = self._factored()
        assert coefficients is not None
        return (coefficients.flatten(1) @ filters.flatten(1)).unflatten(1, filters.shape[1:]), None, bias

    @torch.no_grad()
    def fold(self) -> nn.Conv2d:
        """Return the equivalent convolution in inference, with its own weight (C, C, Kh, Kw) and bias (C)."""
        weight, _, bias = self._dense()
        channels, _, kh, kw = weight.shape
        folded = nn.Conv2d(channels, channels, (kh, kw), padding=self.padding, device="meta")  # consumes no random numbers
        folded.weight, folded.bias = nn.Parameter(weight), nn.Parameter(bias)
        return folded.eval()

    def kernel(self) -> Tensor:
        """Return the folded kernel (C, C, Kh, Kw), with the running statistics in either mode."""
        return self._dense()[0]

    def penalty(self) -> Tensor:
        """Return LAMBDA times `orthogonality` of the shared basis, divided by the number n of operators that use it.

        The sum over the n operators therefore counts the basis once.
        """
        return LAMBDA * orthogonality([[self]]) / self.basis.users

    def flops(self, height: int, width: int) -> Flops:
        channels, rank, taps = self._dimensions()
        if self._fold_pays():
            return Flops(2 * channels * rank * taps, 2 * channels * taps * height * width)
        return Flops(0, 2 * rank * (taps + channels) * height * width)

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Load weights of one factored convolution of a published block.

        Names: `shared_basis.weight` (s, C, K, K), `basis_conv1.weight` (u, C, K, K), `basis_bn1.*`, `coeff_conv1.weight`
        (C, u+s, 1, 1), each with or without the number. A rank of 0 has no weight. Raises KeyError for a missing or unknown name.
        """
        names = {"coeff_conv.weight": "coefficients"}
        names |= {f"basis_bn.{name}": f"norm.{name}" for name in self.norm.state_dict()}
        names |= {"shared_basis.weight": "basis.weight"} if len(self.basis.weight) else {}
        names |= {"basis_conv.weight": "unique"} if len(self.unique) else {}
        weights = {re.sub(r"_?\d*\.", ".", name, count=1): tensor for name, tensor in state.items()}
        if weights.keys() != names.keys() or len(weights) != len(state):
            raise KeyError(f"the weights of a factored convolution are {sorted(names)}, not {sorted(state)}")
        self.load_state_dict({**self.state_dict(), **{names[name]: tensor for name, tensor in weights.items()}})


class UsesSharedBasis(Protocol):
    """An operator with a shared basis and unique filters."""

    @property
    def basis(self) -> SharedBasis: ...

    @property
    def unique(self) -> Tensor: ...


def orthogonality(groups: Iterable[Iterable[UsesSharedBasis]], include_unique: bool = False) -> Tensor:
    """Return the deviation of the bases from orthonormality: the mean squared entry of B B^T - I over all groups.

    A group is the operators of one residual stage. Its rows B are its distinct bases, concatenated and flattened to C K K.
    `include_unique` selects the published CIFAR-10 form: products of the shared rows with the shared and all unique rows of the
    group, and of the unique rows of each operator with each other.
    """
    errors = []
    for group in groups:
        operators = list(group)
        shared = torch.cat([basis.weight.flatten(1) for basis in dict.fromkeys(operator.basis for operator in operators)])
        unique = [operator.unique.flatten(1) for operator in operators] if include_unique else []
        errors += [_gram_error(shared, torch.cat([shared, *unique])), *(_gram_error(rows, rows) for rows in unique)]
    entries = torch.cat(errors)
    return entries.sum() / max(len(entries), 1)


def _gram_error(rows: Tensor, others: Tensor) -> Tensor:
    """Return the squared entries of rows others^T - I, flattened."""
    gram = rows @ others.T
    return (gram - torch.eye(*gram.shape, dtype=gram.dtype, device=gram.device)).square().flatten()
