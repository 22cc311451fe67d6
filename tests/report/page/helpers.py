"""What the tests of the page share: runs, the page made of them, and a browser that reads it."""

import shutil

from bench import journal as store
from bench.spec import Cell, Job, Protocol, Record, Timing
from tests.report.leaderboard.test_accuracy import seeds

EVIL = "<img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
BENT = {5: 1.0, 9: 1.5, 13: 4.0}  # ms by kernel size
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
    """Five methods at three resolutions and two channels: latency by the side squared, the channels and the pace."""
    for method, (pace, count) in METHODS.items():
        for side in (16, 32, 64):
            for channels in (16, 32):
                at = {"height": side, "width": side, "channels": channels}
                flops = {"flops": count * side**2, "weights_bytes": 4 * count, "flops_fft": 0, "flops_eff": 0.75 * count * side**2}
                yield timed(method, pace * side**2 / 256 * channels / 16, **at)
                yield counted(method, "params", {"params_count": count}, **at)
                yield counted(method, "flops", flops, **at)
    yield failed("huge", "latency", "oom", "1 TiB wanted <b>", height=16, width=16, channels=16)
    yield failed("slow", "latency", "skipped", "predicted 130 s", height=16, width=16, channels=16)


def kernels():
    """A direct form that costs k^2 beside one that costs as 10 x 10, and one that follows no power law."""
    for kernel in (5, 9, 13):
        yield timed("dwconv_direct", kernel**2 / 100, height=16, width=16, kernel=kernel)
        yield timed("dwconv_fft", 1.0, height=16, width=16, kernel=kernel)
        yield timed("niff", BENT[kernel], height=16, width=16, kernel=kernel)


def learnt():
    """The slow one learns no more than the faster; the fastest is at its floor."""
    for method, ms, accuracy in (("dwconv3", 0.1, 50.0), ("dwconv7", 0.2, 90.0), ("niff", 0.6, 95.0), ("afno", 1.0, 94.0)):
        yield timed(method, ms, height=8, width=8)
        yield from seeds(method, accuracy - 0.5, accuracy, accuracy + 0.5, accuracy_images=1000)


RUNS = {"operators": operators, "kernels": kernels, "learnt": learnt}


def journal(path, records):
    with store.Writer(path) as writer:
        writer.env(ENV)
        writer.run(
            {"command": f"python -m bench run -o {path.parent.name}", "started": 1.8e9, "baseline": "dwconv7", "commit": "abc"}
        )
        for record in records:
            writer.record(record)
    return store.read(path)


class Reader:
    """A tab, and what it said or asked for."""

    def __init__(self, chromium, file, width=1000):
        self.context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme="light")
        self.tab, self.address = self.context.new_page(), f"file://{file}"
        self.said, self.asked = [], []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.tab.on("request", lambda request: self.asked.append(request.url.partition("#")[0]))

    def open(self, hash=""):
        self.tab.goto(self.address + hash)
        settled(self.tab)
        return self.tab

    def close(self):
        """The page said nothing, opened no dialog and asked for nothing but itself."""
        self.context.close()
        assert self.said == []
        assert set(self.asked) == {self.address}


FOLLOW = """(hash) => new Promise((done) => {
    if (location.hash === hash) return done();
    addEventListener("hashchange", done, { once: true });
    location.hash = hash;
})"""


def settled(tab):
    """After the frame that shows a change, and the chart."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    tab.wait_for_selector("#chart[aria-busy=false]", state="attached")


def column(tab, name):
    """The texts of a column of the table, from above."""
    head = [cell.get_attribute("data-name") for cell in tab.query_selector_all("thead th")]
    return tab.eval_on_selector_all(f"tbody tr > :nth-child({head.index(name) + 1})", "all => all.map((one) => one.textContent)")


def press(tab, name):
    tab.click(f"thead th[data-name={name}] button")
    settled(tab)


def renderings(tab):
    """Counts from now on how often the rows of the table are replaced."""
    tab.evaluate("""() => {
        window.renderings = 0;
        new MutationObserver(() => window.renderings++).observe(document.querySelector("tbody"), { childList: true });
    }""")


ONE = "#res=16&channels=16"  # one setting of the operators
