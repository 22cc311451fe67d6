"""The data dictionary: every column of the tidy table with its unit, its better direction and its meaning. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    name: str
    metric: str  # the metric that fills it; "" for the axes and the provenance
    unit: str
    better: str  # "lower", "higher" or "" where neither is
    meaning: str


def _axis(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "", unit, "", meaning)


COLUMNS: tuple[Column, ...] = (
    _axis("method", "registered name"),
    _axis("label", "name with overridden options and kernel size"),
    _axis("params", "overridden options, as JSON"),
    _axis("level", "op: the operator alone; model: inside the host network"),
    _axis("height", "rows of the feature map", "px"),
    _axis("width", "columns of the feature map", "px"),
    _axis("channels", "channels in and out"),
    _axis("kernel", "kernel size where the sweep set one", "px"),
    _axis("batch", "images a call"),
    _axis("dtype", "fp32, or bf16: float32 weights under bfloat16 autocast"),
    _axis("device", "cpu or cuda:i"),
    _axis("mode", "infer: frozen forward (a kernel that depends on weights alone is made once); train: forward and backward"),
    _axis("threads", "CPU threads"),
    _axis("seed", "seed of the weights and inputs"),
    _axis("env", "environment of the measurement, described in journal.jsonl"),
    Column("params_count", "params", "", "lower", "trainable parameters of the operator at this setting"),
    Column("params_bytes", "params", "B", "lower", "bytes of its parameters and buffers"),
    Column("kernel_height", "params", "px", "", "rows of the spatial kernel at this setting, where the method has one"),
    Column("kernel_width", "params", "px", "", "its columns; a learned size is that of the initialisation"),
    Column("flops", "flops", "FLOP", "lower", "real operations of one call as executed on this device; conventions in README"),
    Column("gmacs", "flops", "GMAC", "lower", "multiply-adds of the direct form as fvcore counts them: an FFT is 0"),
    Column("flops_eff", "flops", "FLOP", "lower", "operations of the direct form with only the taps that lie inside the map"),
    Column("flops_kernel", "flops", "FLOP", "lower", "making the kernel: inside every training call, once before inference"),
    Column("kernel_share", "flops", "", "", "flops_kernel as a share of a forward that makes its kernel"),
    Column("flops_fft", "flops", "FLOP", "lower", "the part of flops spent in Fourier transforms"),
    Column("sfu_ops", "flops", "", "lower", "transcendental evaluations (exp, sin, erf, ...), not in flops"),
    Column("latency_ms", "latency", "ms", "lower", "one call: median over rounds of the medians of undisturbed samples"),
    Column("latency_lo_ms", "latency", "ms", "", "lower end of the 95% interval (t, log of per-round medians)"),
    Column("latency_hi_ms", "latency", "ms", "", "upper end of the 95% interval"),
    Column("latency_min_ms", "latency", "ms", "lower", "fastest sample: a cross-check, biased to lucky cache states"),
    Column("latency_p90_ms", "latency", "ms", "lower", "90th percentile of all samples, disturbed ones included"),
    Column("cpu_ms", "latency", "ms", "lower", "median processor time of a call (CPU, one thread)"),
    Column("rounds", "latency", "", "", "rounds measured: the unit of replication"),
    Column("calls", "latency", "", "", "timed calls in all rounds"),
    Column("clean_share", "latency", "", "higher", "share of samples without an involuntary context switch (CPU)"),
    Column("faults_per_call", "latency", "", "lower", "minor page faults a call: near 0, or the allocator is timed (CPU)"),
    Column("contended", "latency", "", "", "1: too few undisturbed samples: latency_ms is processor time (1 thread)"),
    Column("mem_peak_bytes", "memory", "B", "lower", "allocator peak above what was held before the call"),
    Column("mem_input_ratio", "memory", "", "lower", "mem_peak_bytes over the bytes of the input"),
    Column("accuracy", "accuracy", "%", "higher", "top-1 on held-out images of the task"),
    Column("accuracy_data", "accuracy", "name", "", "the task"),
    Column("accuracy_res", "accuracy", "px", "", "resolution of the task: not that of the latency cell"),
    Column("accuracy_epochs", "accuracy", "", "", "epochs trained"),
    Column("accuracy_train_s", "accuracy", "s", "lower", "seconds of training, the whole network"),
    Column("accuracy_seed", "accuracy", "", "", "seed of the network and of the order of images"),
    Column("accuracy_params", "accuracy", "", "", "parameters of the whole network"),
)  # fmt: skip

METRICS: tuple[str, ...] = tuple(dict.fromkeys(column.metric for column in COLUMNS if column.metric))


def of(metric: str) -> list[str]:
    """Names of the columns that a metric fills."""
    return [column.name for column in COLUMNS if column.metric == metric]


def get(name: str) -> Column:
    """The column of that name; raises KeyError."""
    return {column.name: column for column in COLUMNS}[name]
