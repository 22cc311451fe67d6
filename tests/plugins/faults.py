"""Faulty methods that a sweep must survive."""

import ctypes
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
    """Ends its process without output."""

    def forward(self, x):
        os._exit(7)


@register("hangs")
class Hangs(Identity):
    """Never returns."""

    def forward(self, x):
        while True:
            time.sleep(1)


@register("hangs_up")
class HangsUp(Identity):
    """Closes every file of its process and continues to run."""

    def forward(self, x):
        os.closerange(3, 1024)
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
    """Does not support its setting."""

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
    """Allocates more memory than available."""

    def forward(self, x):
        return x + torch.empty(1 << 52)[0]


@register("stalls")
class Stalls(Identity):
    """Never returns from C and holds the global interpreter lock."""

    def forward(self, x):
        ctypes.PyDLL(None).pause()


@register("gorges")
class Gorges(Identity):
    """Allocates without limit."""

    def forward(self, x):
        held = []
        while True:
            held.append(torch.ones(1 << 24))


@register("chatters")
class Chatters(Identity):
    """Prints from Python and from C."""

    def forward(self, x):
        print("CHATTER from python", flush=True)
        os.write(1, b"CHATTER past stdout\n")
        os.write(2, b"CHATTER past stderr\n")
        return super().forward(x)


@register("curses")
class Curses(Identity):
    """Prints a reason and ends its process."""

    def forward(self, x):
        os.write(2, b"\x1b[31mLAST\x1b[0m WORDS\a\n")
        os._exit(1)


@register("takes_threads")
class TakesThreads(Identity):
    """Changes torch's number of threads."""

    def forward(self, x):
        torch.set_num_threads(3)
        return super().forward(x)


@register("doubles")
class Doubles(Identity):
    """Changes the default dtype."""

    def forward(self, x):
        torch.set_default_dtype(torch.float64)
        return super().forward(x)


@register("seeds")
class Seeds(Identity):
    """Seeds torch and changes its determinism, gradient mode and denormals."""

    def forward(self, x):
        torch.manual_seed(123)
        torch.use_deterministic_algorithms(True)
        torch.set_grad_enabled(False)
        torch.set_flush_denormal(False)
        return super().forward(x)


@register("confesses")
class Confesses(Identity):
    """Raises with the state of the process, of its weights and of its input."""

    def __init__(self, channels, resolution):
        super().__init__(channels, resolution)
        self.weight = nn.Parameter(torch.randn(channels))

    def forward(self, x):
        seen = float(self.weight.double().sum()), float(x.double().sum()), float(torch.rand(()).double())
        state = torch.get_num_threads(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()
        raise RuntimeError(f"{seen} {state}")


@register("drifts")
class Drifts(Identity):
    """Returns a different output at each call."""

    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x) * self.calls


@register("fills_disk")
class FillsDisk(Identity):
    """Writes to the folder FULL_FOLDER until it is full."""

    def forward(self, x):
        folder = os.environ.get("FULL_FOLDER")
        if folder:
            with open(os.path.join(folder, "flood"), "ab", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 12))
        return super().forward(x)


@register("sleeps")
class Sleeps(Identity):
    """Takes 0.2 s."""

    def forward(self, x):
        time.sleep(0.2)
        return super().forward(x)
