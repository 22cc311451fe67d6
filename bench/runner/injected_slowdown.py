"""A plugin for audits: an operator whose work is a known multiple of one convolution."""

from torch import Tensor, nn

from methods import register


@register("repeated")
class Repeated(nn.Module):
    """A 3x3 depthwise convolution, repeated `times` times on the same input. 21 repetitions take 5% longer than 20."""

    def __init__(self, channels: int, resolution: int | tuple[int, int], times: int = 20):
        super().__init__()
        self.times = times
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            y = self.convolution(x)
        return y
