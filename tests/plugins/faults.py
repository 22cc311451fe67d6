"""Methods that go wrong, each in its own way: what a sweep must survive."""

import os
import signal
import time

import torch
from torch import nn

from methods import Unsupported, register


class Identity(nn.Module):
    def __init__(self, channels, resolution):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.scale


@register("fine")
class Fine(Identity):
    """Works."""


@register("segfault")
class Segfault(Identity):
    """Dies of a signal."""

    def forward(self, x):
        os.kill(os.getpid(), signal.SIGSEGV)


@register("exits")
class Exits(Identity):
    """Ends its process without a word."""

    def forward(self, x):
        os._exit(7)


@register("hangs")
class Hangs(Identity):
    """Never returns."""

    def forward(self, x):
        while True:
            time.sleep(1)


@register("raises")
class Raises(Identity):
    """Raises in forward."""

    def forward(self, x):
        raise RuntimeError("the operator's own trouble")


@register("nan")
class Nan(Identity):
    """Returns NaN."""

    def forward(self, x):
        return x * float("nan")


@register("shape")
class Shape(Identity):
    """Returns another shape."""

    def forward(self, x):
        return x[..., 1:]


@register("declines")
class Declines(Identity):
    """Declines its setting."""

    def __init__(self, channels, resolution):
        raise Unsupported("only on Sundays")


@register("halves")
class Halves(Identity):
    """Returns bfloat16 for float32."""

    def forward(self, x):
        return x.bfloat16()


@register("pairs")
class Pairs(Identity):
    """Returns two tensors."""

    def forward(self, x):
        return x, x


@register("huge")
class Huge(Identity):
    """Asks for more memory than there is."""

    def forward(self, x):
        return x + torch.empty(1 << 52)[0]
