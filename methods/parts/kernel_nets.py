"""Networks that compute a convolution kernel as a continuous function of position: MAGNet and variants, SIREN, MLP.

A position is (row, column) in [-1, 1]^2. Each network maps it to `hidden` features, and these linearly to one value per output
channel. On a grid of Kh x Kw positions the features are maps (hidden, Kh, Kw).

    magnet, gabor, fourier   h_0 = f_0;  h_i = f_i * (A_i h_{i-1} + c_i), i = 1..L, with Gabor filters or sines f_i
                             (FlexConv; Fathony et al., "Multiplicative Filter Networks", ICLR 2021)
    siren, nsiren            h_i = sin(omega_0 (W_i h_{i-1} + b_i)), or sin(omega_0 W_i h_{i-1} + b_i)
                             (Sitzmann et al., https://arxiv.org/abs/2006.09661)
    mlp                      h_i = ReLU(norm(W_i h_{i-1} + b_i))

Differences from the published code (equal up to rounding): a Gabor filter is the product of two window functions and
sin(a_y + b_x) = sin a_y cos b_x + cos a_y sin b_x, a matrix of rank two. Exponentials and sines are therefore computed at Kh + Kw
points instead of Kh * Kw, in float64. The filters of all layers are computed together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.official_weights import Weights
from methods.registry import Unsupported

OMEGA = {"magnet": 25.6, "gabor": 25.6, "fourier": 256.0, "siren": 30.0, "nsiren": 30.0}  # published frequency scales
CCNN_OMEGA = 977.0  # with CCNN's initialisation of a multiplicative filter network: the published value for CIFAR-10
LAYERED = ("siren", "nsiren", "mlp")  # `layers` of these includes the output layer
KINDS = (*OMEGA, "mlp")


@dataclass(frozen=True)
class KernelNetConfig:
    """Configuration of a kernel network of `layers` layers of `hidden` features. `omega` None is the published frequency scale.

    `spread` and `init` are options of `MultiplicativeFilterNet`; the other kinds ignore them.
    """

    kind: str
    hidden: int
    layers: int
    omega: float | None = None
    spread: float = 1.0
    init: str = "official"

    @property
    def frequency_scale(self) -> float:
        """`omega`, or its published value. Kind "mlp" has none."""
        if self.omega is not None:
            return self.omega
        return CCNN_OMEGA if self.init == "ccnn" and self.kind not in LAYERED else OMEGA[self.kind]


class KernelNet(nn.Module):
    """Base class: `hidden_maps`, then a linear output layer. `matrix()` (outputs, hidden + 1) is its weight and, last, its bias."""

    def __init__(self, outputs: int, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.out_weight = nn.Parameter(torch.empty(outputs, hidden))
        self.out_bias = nn.Parameter(torch.empty(outputs))

    def hidden_maps(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the features (hidden, Kh, Kw) at float64 row positions (Kh,) and column positions (Kw,)."""
        raise NotImplementedError

    def matrix(self) -> Tensor:
        return torch.cat((self.out_weight, self.out_bias[:, None]), 1)

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the kernels (outputs, Kh, Kw)."""
        maps = self.hidden_maps(rows, columns)
        return torch.addmm(self.out_bias[:, None], self.out_weight, maps.flatten(1)).unflatten(1, maps.shape[1:])

    def flops(self, points: int) -> int:
        """Return the FLOPs of `hidden_maps` on a grid of `points` points."""
        raise NotImplementedError

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        """Return our state dict from the weights of the official implementation."""
        raise NotImplementedError


class MultiplicativeFilterNet(KernelNet):
    """MAGNet ("magnet": Gabor filters with a window width per axis), isotropic Gabor filters ("gabor") or sines ("fourier").

    `omega` scales the frequencies, `spread` bounds the centres of the windows. `init` "official" is that of FlexConv's code, "ccnn"
    that of CCNN: 2 pi omega instead of omega / sqrt(layers + 1), phases 0, mixing biases 1, output biases 0.
    """

    ALPHA = 6.0  # shape of the Gamma distribution of the inverse window widths of the first layer; the rate is 1

    def __init__(self, config: KernelNetConfig, outputs: int):
        kind, hidden, layers = config.kind, config.hidden, config.layers
        super().__init__(outputs, hidden)
        self.kind, self.layers, self.omega, self.spread = kind, layers, config.frequency_scale, config.spread
        filters = layers + 1
        self.frequency = nn.Parameter(torch.empty(filters, hidden, 2))
        self.phase = nn.Parameter(torch.empty(filters, hidden))
        if kind != "fourier":
            self.mu = nn.Parameter(torch.empty(filters, hidden, 2))
            self.gamma = nn.Parameter(torch.empty(filters, hidden, 2 if kind == "magnet" else 1))
        self.mix_weight = nn.Parameter(torch.empty(layers, hidden, hidden))
        self.mix_bias = nn.Parameter(torch.empty(layers, hidden))
        self._draw_filters(2 * math.pi * self.omega if config.init == "ccnn" else self.omega / math.sqrt(filters))
        self._draw_phases_and_linears(config.init)

    @torch.no_grad()
    def _draw_filters(self, scale: float) -> None:
        nn.init.uniform_(self.frequency, -math.sqrt(0.5), math.sqrt(0.5)).mul_(scale)
        if self.kind == "fourier":
            return
        nn.init.uniform_(self.mu, -self.spread, self.spread)
        for i, gamma in enumerate(self.gamma):
            shape = self.ALPHA / (i + 1 if self.kind == "magnet" else self.layers + 1)
            if not gamma.is_meta:  # not implemented on the meta device by older versions of torch
                gamma.copy_(torch._standard_gamma(torch.full_like(gamma, shape)))
        self.frequency.mul_(self.gamma)

    def _draw_phases_and_linears(self, init: str) -> None:
        if init == "ccnn":
            bound, biases = math.sqrt(3 / self.hidden), {"phase": 0.0, "mix_bias": 1.0, "out_bias": 0.0}
            for name, value in biases.items():
                nn.init.constant_(getattr(self, name), value)
        else:
            bound = math.sqrt(1 / self.hidden)
            nn.init.uniform_(self.phase, -math.pi, math.pi)
            nn.init.uniform_(self.mix_bias, -bound, bound)
            nn.init.uniform_(self.out_bias, -bound, bound)
        nn.init.uniform_(self.mix_weight, -bound, bound)
        nn.init.uniform_(self.out_weight, -bound, bound)

    def filters(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return all filters on the grid: (layers + 1, hidden, Kh, Kw)."""
        a, b = (self.frequency.double()[..., j, None] * axis for j, axis in enumerate((rows, columns)))
        a = a + self.phase.double()[..., None]
        left, right = torch.stack((a.sin(), a.cos()), -1), torch.stack((b.cos(), b.sin()), -2)
        if self.kind != "fourier":
            left, right = left * self._window(rows, 0)[..., None], right * self._window(columns, 1)[..., None, :]
        dtype = self.frequency.dtype
        return (left.to(dtype).flatten(0, 1) @ right.to(dtype).flatten(0, 1)).unflatten(0, self.phase.shape)

    def _window(self, axis: Tensor, j: int) -> Tensor:
        """Return exp(-(gamma (p - mu))^2 / 2) along one axis: (layers + 1, hidden, K), float64."""
        gamma = self.gamma.double()[..., min(j, self.gamma.shape[-1] - 1), None]
        return torch.exp(-0.5 * (gamma * (axis - self.mu.double()[..., j, None])) ** 2)

    def hidden_maps(self, rows: Tensor, columns: Tensor) -> Tensor:
        first, *others = self.filters(rows, columns).flatten(2)
        h = first
        for f, weight, bias in zip(others, self.mix_weight, self.mix_bias):
            h = f * torch.addmm(bias[:, None], weight, h)
        return h.unflatten(1, (len(rows), len(columns)))

    def flops(self, points: int) -> int:
        return points * (4 * self.hidden * (self.layers + 1) + 2 * self.hidden**2 * self.layers)

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        linears = "linears" if "linears.0.weight" in weights else "linear"  # CCNN uses the plural
        stacks = {
            "frequency": ("filters.{}.linear.weight", self.layers + 1),
            "phase": ("filters.{}.linear.bias", self.layers + 1),
            "mix_weight": (linears + ".{}.weight", self.layers),
            "mix_bias": (linears + ".{}.bias", self.layers),
        }
        if self.kind != "fourier":
            stacks |= {"mu": ("filters.{}.mu", self.layers + 1), "gamma": ("filters.{}.gamma", self.layers + 1)}
        own = {name: torch.stack([weights.take(key.format(i)) for i in range(n)]) for name, (key, n) in stacks.items()}
        return own | {"out_weight": weights.take("output_linear.weight"), "out_bias": weights.take("output_linear.bias")}


class LayeredNet(KernelNet):
    """A feed-forward network, 2 -> hidden -> ... -> hidden -> outputs, of `layers` linear layers including the output layer."""

    def __init__(self, outputs: int, hidden: int, layers: int):
        super().__init__(outputs, hidden)
        self.in_weight = nn.Parameter(torch.empty(hidden, 2))
        self.mix_weight = nn.Parameter(torch.empty(layers - 2, hidden, hidden))
        self.bias = nn.Parameter(torch.empty(layers - 1, hidden))

    def activate(self, h: Tensor, bias: Tensor, i: int) -> Tensor:
        """Return the output (hidden, P) of layer i from W_i h_{i-1} and b_i (hidden, 1)."""
        raise NotImplementedError

    def hidden_maps(self, rows: Tensor, columns: Tensor) -> Tensor:
        size = (len(rows), len(columns))
        h = torch.stack((rows[:, None].expand(size), columns.expand(size))).flatten(1).to(self.bias.dtype)
        for i, weight in enumerate((self.in_weight, *self.mix_weight)):
            h = self.activate(weight @ h, self.bias[i, :, None], i)
        return h.unflatten(1, size)

    def flops(self, points: int) -> int:
        return 2 * points * (self.in_weight.numel() + self.mix_weight.numel())

    def from_sequence(self, weights: Weights, step: int) -> dict[str, Tensor]:
        """Return our weights if the official linear layers are every `step`-th module of one `nn.Sequential`."""
        names = [f"kernel_net.{step * i}" for i in range(len(self.bias) + 1)]
        matrices = [weights.take(name + ".weight") for name in names]
        biases = [weights.take(name + ".bias") for name in names]
        mix = torch.stack(matrices[1:-1]) if len(names) > 2 else torch.empty_like(self.mix_weight)
        own = {"in_weight": matrices[0], "mix_weight": mix, "bias": torch.stack(biases[:-1])}
        return own | {"out_weight": matrices[-1], "out_bias": biases[-1]}


class Siren(LayeredNet):
    """SIREN: sin(omega (W h + b)), or sin(omega W h + b) without `scaled_bias`."""

    def __init__(self, outputs: int, hidden: int, layers: int, omega: float, scaled_bias: bool = True):
        super().__init__(outputs, hidden, layers)
        self.omega, self.scaled_bias = omega, scaled_bias
        bound, torch_bound = math.sqrt(6 / hidden) / omega, 1 / math.sqrt(hidden)
        nn.init.uniform_(self.in_weight, -1 / 2, 1 / 2)
        for weight in (self.mix_weight, self.out_weight):
            nn.init.uniform_(weight, -bound, bound)
        nn.init.uniform_(self.bias[0], -math.sqrt(1 / 2), math.sqrt(1 / 2))
        for bias in (self.bias[1:], self.out_bias):
            nn.init.uniform_(bias, -torch_bound, torch_bound)

    def activate(self, h: Tensor, bias: Tensor, i: int) -> Tensor:
        return torch.sin(self.omega * (h + bias) if self.scaled_bias else self.omega * h + bias)

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        for i in range(len(self.bias)):
            weights.constant(f"kernel_net.{2 * i}.omega_0", self.omega)
        return self.from_sequence(weights, 2)


class MLP(LayeredNet):
    """ReLU layers, each after a layer norm over all features and positions, so that kernel values depend on the crop."""

    EPSILON = 1e-12

    def __init__(self, outputs: int, hidden: int, layers: int):
        super().__init__(outputs, hidden, layers)
        self.norm_weight = nn.Parameter(torch.ones(layers - 1, hidden))
        self.norm_bias = nn.Parameter(torch.zeros(layers - 1, hidden))
        for weight in (self.in_weight, self.mix_weight, self.out_weight):
            nn.init.uniform_(weight, -1 / math.sqrt(weight.shape[-1]), 1 / math.sqrt(weight.shape[-1]))
        for bias in (self.bias, self.out_bias):
            nn.init.zeros_(bias)

    def activate(self, h: Tensor, bias: Tensor, i: int) -> Tensor:
        h = (h + bias)[None]
        return F.relu(F.group_norm(h, 1, self.norm_weight[i], self.norm_bias[i], self.EPSILON)[0])

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        own = self.from_sequence(weights, 3)
        for name in ("weight", "bias"):
            norms = [weights.take(f"kernel_net.{3 * i + 1}.layer_norm.{name}") for i in range(len(self.bias))]
            own["norm_" + name] = torch.stack(norms)
        return own


def make_kernel_net(config: KernelNetConfig, outputs: int) -> KernelNet:
    """Build a kernel network with one output per kernel.

    Raises `Unsupported` for an unknown kind and for too few features or layers.
    """
    kind, hidden, layers = config.kind, config.hidden, config.layers
    if kind not in KINDS:
        raise Unsupported(f"kernel_net must be one of {', '.join(KINDS)}, not {kind!r}")
    min_layers = 2 if kind in LAYERED else 1
    if hidden < 1 or layers < min_layers:
        raise Unsupported(f"kernel_net {kind} needs hidden >= 1 and layers >= {min_layers}, not {hidden} and {layers}")
    if kind == "mlp":
        return MLP(outputs, hidden, layers)
    if kind in ("siren", "nsiren"):
        return Siren(outputs, hidden, layers, config.frequency_scale, scaled_bias=kind == "siren")
    return MultiplicativeFilterNet(config, outputs)
