"""The data dictionary: every column of the tidy table with its unit, its better direction and its meaning. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    name: str
    metric: str  # the metric that fills it; "" for the axes, the provenance and what is computed of them all
    unit: str
    better: str  # "lower", "higher" or "" where neither is
    meaning: str


def _axis(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "", unit, "", meaning)


COLUMNS: tuple[Column, ...] = (
    _axis("method", "registered name"),
    _axis("label", "name with overridden options and kernel size"),
    _axis("params", "overridden options, as JSON"),
    _axis("level", "op: the operator alone; model: a network"),
    _axis("network", "at level model: its name and options; empty at level op"),
    _axis("height", "rows of the feature map, or of the image", "px"),
    _axis("width", "columns of the feature map, or of the image", "px"),
    _axis("channels", "channels in and out; of a network those of the image"),
    _axis("kernel", "kernel size where the sweep set one", "px"),
    _axis("batch", "images a call"),
    _axis("dtype", "fp32, or bf16: float32 weights under bfloat16 autocast"),
    _axis("device", "cpu or cuda:i"),
    _axis("mode", "infer: frozen forward (a kernel that depends on weights alone is made once); train: forward and backward"),
    _axis("threads", "CPU threads"),
    _axis("seed", "seed of the weights and inputs"),
    _axis("env", "environment of the measurement, described in journal.jsonl"),
    Column("params_count", "params", "", "lower", "trainable parameters at this setting; a network's with 1000 classes"),
    Column("params_bytes", "params", "B", "lower", "bytes of its parameters and buffers"),
    Column("kernel_height", "params", "px", "", "rows of the spatial kernel at this setting, where the method has one"),
    Column("kernel_width", "params", "px", "", "its columns; a learned size is that of the initialisation"),
    Column("convs_exchanged", "params", "", "", "convolutions of a network of the libraries in whose place the operator is"),
    Column("convs_kept", "params", "", "", "its convolutions that stayed"),
    Column("convs_kept_why", "params", "name", "", "how many of these stayed for which reason"),
    Column("flops", "flops", "FLOP", "lower", "real operations of one call as executed on this device; conventions in README"),
    Column("gmacs", "flops", "GMAC", "lower", "multiply-adds of the direct form as fvcore counts them: an FFT is 0"),
    Column("flops_eff", "flops", "FLOP", "lower", "operations of the direct form with only the taps that lie inside the map"),
    Column("flops_kernel", "flops", "FLOP", "lower", "making the kernel: inside every training call, once before inference"),
    Column("kernel_share", "flops", "", "", "flops_kernel as a share of a forward that makes its kernel"),
    Column("flops_fft", "flops", "FLOP", "lower", "the part of flops spent in Fourier transforms"),
    Column("sfu_ops", "flops", "", "lower", "transcendental evaluations (exp, sin, erf, ...), not in flops"),
    Column("op_count", "flops", "", "lower", "torch operators that one call executes, views and bare allocations excluded"),
    Column("weights_bytes", "flops", "B", "lower", "weights that a call reads: the frozen kernel in place of what it is made from"),
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
    Column("timer", "latency", "name", "", "wall: the host's clock; on a GPU cold, hot, graph or wall: see README"),
    Column("converged", "latency", "", "", "1: the interval is within the target when the rounds ended"),
    Column("contended", "latency", "", "", "1: too few undisturbed samples: latency_ms is processor time (1 thread)"),
    Column("launch_bound", "latency", "", "", "1: the host takes longer to enqueue a call than the GPU to run it"),
    Column("graph_ms", "latency", "ms", "lower", "where launch_bound: one call inside a CUDA graph, with warm caches"),
    Column("throttled", "latency", "", "", "1: a round's GPU clock stayed below 75% of the highest, five repetitions long"),
    Column("sm_clock_mhz", "latency", "MHz", "", "clock of the GPU's multiprocessors: median over rounds"),
    Column("gpu_temperature_c", "latency", "degC", "", "highest temperature of the GPU around a round"),
    Column("foreign_processes", "latency", "", "lower", "other processes that compute on the GPU, at most in any round"),
    Column("place", "", "", "lower", "rank by latency in its setting, shared with what is not told apart from the first of it"),
    Column("speedup", "", "", "higher", "times faster than the baseline: typical ratio over rounds (Hodges-Lehmann)"),
    Column("speedup_lo", "", "", "higher", "lower end of its 95% interval: paired by round where both are of one session"),
    Column("speedup_hi", "", "", "higher", "upper end of that interval"),
    Column("verdict", "", "", "", "against the baseline: faster, slower, same or unclear"),
    Column("pareto", "", "", "higher", "1: above the floor, and no such method is as fast and as accurate, and better in one"),
    Column("bytes_min", "", "B", "lower", "compulsory traffic: input, output and weights, in training their gradients, each once"),
    Column("limit_ms", "", "ms", "lower", "what traffic or operations need at the machine's best rates (env --measure)"),
    Column("pct_of_limit", "", "%", "higher", "limit_ms over latency_ms: no share of what another algorithm could reach"),
    Column("bound", "", "", "", "the nearest limit: memory, compute, or launch where starting operators takes most of the time"),
    Column("mem_peak_bytes", "memory", "B", "lower", "allocator peak above what was held before the call"),
    Column("mem_input_ratio", "memory", "", "lower", "mem_peak_bytes over the bytes of the input"),
    Column("mem_rss_bytes", "memory", "B", "lower", "growth of the process in the call, library scratch included (CPU, Linux)"),
    Column("mem_saved_bytes", "memory", "B", "lower", "held from forward to backward: distinct saved storages without weights"),
    Column("energy_j", "energy", "J", "lower", "one call, hot: energy of the device during a window less that of rest"),
    Column("energy_lo_j", "energy", "J", "", "lower end of the 95% interval (t, log of the windows)"),
    Column("energy_hi_j", "energy", "J", "", "upper end of that interval"),
    Column("power_w", "energy", "W", "lower", "mean power of the device during the calls, rest included: median over windows"),
    Column("idle_w", "energy", "W", "", "mean power at rest just before: median over windows"),
    Column("energy_windows", "energy", "", "", "windows measured"),
    Column("energy_window_s", "energy", "s", "", "length of a window: median"),
    Column("energy_source", "energy", "name", "", "nvml: the counter of the whole GPU; rapl: those of the CPU packages, all cores"),
    Column("shift_error_circular", "properties", "", "lower", "r(S x) - S r(x) over r(x): S a circular shift, r the response"),
    Column("shift_error_zero", "properties", "", "lower", "the same: S loses what crosses a border and lets zeros in"),
    Column("error_fp64", "properties", "", "lower", "largest difference to float64 on the CPU, over the largest value"),
    Column("error_fp64_rms", "properties", "", "lower", "root mean square of that difference, over that of the value"),
    Column("resolution_error", "properties", "", "lower", "response to one image at twice the resolution against that at this one"),
    Column("resolution_way", "properties", "name", "", "how it met twice the size: of its ways the one of that error"),
    Column("properties_why", "properties", "name", "", "why some of these columns are empty"),
    Column("accuracy", "accuracy", "%", "higher", "top-1 on held-out images of the task: mean over seeds"),
    Column("accuracy_lo", "accuracy", "%", "", "lower end of its 95% interval (t, over seeds); empty with one seed"),
    Column("accuracy_hi", "accuracy", "%", "", "upper end of that interval"),
    Column("accuracy_half", "accuracy", "%", "", "half of that interval in points, before it is cut to 0 and 100"),
    Column("accuracy_seeds", "accuracy", "", "", "seeds of the network and of the order of images"),
    Column("accuracy_protocol", "accuracy", "name", "", "data, network, length and a digest of all settings: compare within one"),
    Column("accuracy_data", "accuracy", "name", "", "the task"),
    Column("accuracy_res", "accuracy", "px", "", "resolution of the task: not that of the latency cell"),
    Column("accuracy_network", "accuracy", "name", "", "the network around the operator"),
    Column("accuracy_floor", "accuracy", "%", "", "what needs no look at what the task is about"),
    Column("accuracy_images", "accuracy", "", "", "images of the test part, the same for all seeds"),
    Column("accuracy_floor_of", "accuracy", "name", "", "what that is: the largest class, or a shortcut"),
    Column("accuracy_validation", "accuracy", "%", "higher", "after the last epoch, on the validation part of the training data"),
    Column("accuracy_lr", "accuracy", "", "", "learning rate; the commonest over seeds where each seed's was searched for"),
    Column("accuracy_epochs", "accuracy", "", "", "epochs trained"),
    Column("accuracy_train_s", "accuracy", "s", "lower", "seconds of training steps, the whole network"),
    Column("accuracy_images_s", "accuracy", "1/s", "higher", "images a second in training"),
    Column("accuracy_params", "accuracy", "", "", "trainable parameters of the whole network, with the classes of the data"),
    Column("accuracy_processes", "accuracy", "", "", "processes that trained together"),
)  # fmt: skip

# Of accuracy.csv: one row a training and resolution at which it was evaluated, not averaged over seeds.
ACCURACIES: tuple[Column, ...] = (
    _axis("method", "registered name; original: a network as it was published"),
    _axis("label", "name with overridden options and kernel size"),
    _axis("params", "overridden options, as JSON"),
    _axis("network", "the network around the operator, with its options"),
    _axis("device", "cpu or cuda:i"),
    _axis("threads", "CPU threads"),
    _axis("data", "the task, with its options"),
    _axis("res", "resolution of the training", "px"),
    _axis("eval_res", "resolution of the evaluation", "px"),
    _axis("way", "how operators of one map size met another resolution; empty where none needed to"),
    _axis("protocol", "data, network, length and a digest of all settings: compare within one"),
    _axis("seed", "seed of the network and of the order of images"),
    _axis("env", "environment of the training, described in journal.jsonl"),
    Column("accuracy", "accuracy", "%", "higher", "top-1 on the test part at eval_res"),
    Column("validation", "accuracy", "%", "higher", "after the last epoch, on the validation part of the training data, at res"),
    Column("floor", "accuracy", "%", "", "what needs no look at what the task is about"),
    Column("floor_of", "accuracy", "name", "", "what that is: the largest class, or a shortcut"),
    Column("images", "accuracy", "", "", "images of the test part, the same for all seeds"),
    Column("lr", "accuracy", "", "", "learning rate: where several were tried, the best on the validation part"),
    Column("epochs", "accuracy", "", "", "epochs trained"),
    Column("params_count", "accuracy", "", "lower", "trainable parameters of the whole network, with the classes of the data"),
    Column("train_s", "accuracy", "s", "lower", "seconds of training steps, without search and evaluation"),
    Column("images_s", "accuracy", "1/s", "higher", "images a second in training"),
    Column("processes", "accuracy", "", "", "processes that trained together"),
    _axis("status", "ok, or why there is no accuracy"),
    _axis("detail", "the reason in words"),
)  # fmt: skip

METRICS: tuple[str, ...] = tuple(dict.fromkeys(column.metric for column in COLUMNS if column.metric))
USUAL = tuple(metric for metric in METRICS if metric not in ("energy", "properties"))  # ten seconds a cell; nothing a ranking needs


def of(metric: str) -> list[str]:
    """Names of the columns that a metric fills."""
    return [column.name for column in COLUMNS if column.metric == metric]


def headline(metric: str) -> Column:
    """The column that a metric is compared by: its first."""
    return get(of(metric)[0])


def get(name: str) -> Column:
    """The column of that name; raises KeyError."""
    return {column.name: column for column in COLUMNS}[name]


AXES = ("res", "channels", "batch", "kernel", "threads", "dtype", "mode")  # that may split the tables of a report
