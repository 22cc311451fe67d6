"""Helpers of the tests of the HTML page: records of several runs, and a browser tab."""

import shutil

from bench.journal import Writer, read_journal
from bench.spec import Cell, Job, Protocol, Record, Timing
from tests.builders import seeds

EVIL = "<img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NO_POWER_LAW = {5: 1.0, 9: 1.5, 13: 4.0}  # kernel size -> ms
METHODS = {"dwconv7": (0.2, 3200), "dwconv3": (0.1, 640), "niff": (0.6, 760), "afno": (1.0, 2304), EVIL: (0.4, 9999)}
ENV = {
    **{"id": "e1", "cpu": "Processor", "cores": 2, "memory_gb": 8, "cpu_capability": "AVX2", "gpus": [], "torch": "2.9"},
    **{"python": "3.11", "os": "Linux", "malloc": "tuned", "commit": None},
}
ENV |= {"ceilings": {"cpu/1": {"copy": {"hot": [[65536, 7e10], [268435456, 4e10]]}, "linear": {"fp32": 2e11}, "fft": 4e10}}}
WHERE = {"env": "e1", "session": 1.0, "started": 1.0}


def timed(method, ms, **cell):
    values = {"latency_ms": ms, "latency_lo_ms": ms * 0.98, "latency_hi_ms": ms * 1.02, "contended": 0, "rounds": 10}
    rounds = {"clean": [ms, ms * 1.001, ms]}
    return Record(Job(Cell(method, **cell), "latency", Timing(), "c"), "ok", "", values, rounds, **WHERE)


def counted(method, metric, values, **cell):
    return Record(Job(Cell(method, **cell), metric, Protocol(), "c"), "ok", "", values, **WHERE)


def failed(method, metric, status, detail, **cell):
    protocol = Timing() if metric == "latency" else Protocol()
    return Record(Job(Cell(method, **cell), metric, protocol, "c"), status, detail, **WHERE)


def operators():
    """Yield five methods at three resolutions and two numbers of channels; latency is proportional to area and channels."""
    for method, (ms, count) in METHODS.items():
        for side in (16, 32, 64):
            for channels in (16, 32):
                at = {"height": side, "width": side, "channels": channels}
                flops = {"flops": count * side**2, "weights_bytes": 4 * count, "flops_fft": 0, "flops_eff": 0.75 * count * side**2}
                yield timed(method, ms * side**2 / 256 * channels / 16, **at)
                yield counted(method, "params", {"params_count": count}, **at)
                yield counted(method, "flops", flops, **at)
    yield failed("huge", "latency", "oom", "1 TiB wanted <b>", height=16, width=16, channels=16)
    yield failed("slow", "latency", "skipped", "predicted 130 s", height=16, width=16, channels=16)


def kernels():
    """Yield a direct form with cost k^2, a Fourier form with the cost of 10 x 10, and a method without a power law."""
    for kernel in (5, 9, 13):
        yield timed("dwconv_direct", kernel**2 / 100, height=16, width=16, kernel=kernel)
        yield timed("dwconv_fft", 1.0, height=16, width=16, kernel=kernel)
        yield timed("niff", NO_POWER_LAW[kernel], height=16, width=16, kernel=kernel)


def accuracies():
    """Yield trainings: the slowest method is less accurate than a faster one; the fastest is at the trivial accuracy."""
    for method, ms, accuracy in (("dwconv3", 0.1, 50.0), ("dwconv7", 0.2, 90.0), ("niff", 0.6, 95.0), ("afno", 1.0, 94.0)):
        yield timed(method, ms, height=8, width=8)
        yield from seeds(method, accuracy - 0.5, accuracy, accuracy + 0.5, accuracy_images=1000)


RUNS = {"operators": operators, "kernels": kernels, "accuracies": accuracies}


def journal(path, records):
    with Writer(path) as writer:
        writer.env(ENV)
        writer.run(
            {"command": f"python -m bench run -o {path.parent.name}", "started": 1.8e9, "baseline": "dwconv7", "commit": "abc"}
        )
        for record in records:
            writer.record(record)
    return read_journal(path)


class Reader:
    """A browser tab with its messages and requests."""

    def __init__(self, chromium, file, width=1000):
        self.context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme="light")
        self.tab, self.address = self.context.new_page(), f"file://{file}"
        self.messages, self.requests = [], []
        self.tab.on("console", lambda message: self.messages.append(message.text))
        self.tab.on("pageerror", lambda error: self.messages.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.messages.append(dialog.message), dialog.dismiss()))
        self.tab.on("request", lambda request: self.requests.append(request.url.partition("#")[0]))

    def open(self, hash=""):
        self.tab.goto(self.address + hash)
        settled(self.tab)
        return self.tab

    def close(self):
        """Close the tab; fail if the page logged a message, opened a dialog or requested anything but itself."""
        self.context.close()
        assert self.messages == []
        assert set(self.requests) == {self.address}


FOLLOW = """(hash) => new Promise((done) => {
    if (location.hash === hash) return done();
    addEventListener("hashchange", done, { once: true });
    location.hash = hash;
})"""


def settled(tab):
    """Wait until a change and its chart are rendered."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    tab.wait_for_selector("#chart[aria-busy=false]", state="attached")


def column(tab, name):
    """Return the texts of a column of the table."""
    head = [cell.get_attribute("data-name") for cell in tab.query_selector_all("thead th")]
    return tab.eval_on_selector_all(
        f"tbody tr > :nth-child({head.index(name) + 1})", "cells => cells.map((cell) => cell.textContent)"
    )


def press(tab, name):
    tab.click(f"thead th[data-name={name}] button")
    settled(tab)


def renderings(tab):
    """Start counting how often the rows of the table are replaced."""
    tab.evaluate("""() => {
        window.renderings = 0;
        new MutationObserver(() => window.renderings++).observe(document.querySelector("tbody"), { childList: true });
    }""")


ONE = "#res=16&channels=16"  # one setting of the run `operators`
