"""Data dictionary: unit, direction and meaning of every column of the tables. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    metric: str  # the metric that fills it; "" for axes, provenance and columns computed from several metrics
    unit: str
    better: str  # "lower", "higher" or "" if neither
    meaning: str


def _axis(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "", unit, "", meaning)


COLUMNS: tuple[Column, ...] = (
    _axis("method", "registered name of the method"),
    _axis("label", "name with the overridden options and the kernel size"),
    _axis("params", "overridden options as JSON"),
    _axis("level", "op: one operator; model: a network"),
    _axis("network", "name and options of the network; empty at level op"),
    _axis("height", "rows of the feature map or the image", "px"),
    _axis("width", "columns of the feature map or the image", "px"),
    _axis("channels", "input and output channels; for a network the image channels"),
    _axis("kernel", "kernel size set by the sweep; empty if it set none", "px"),
    _axis("batch", "images per call"),
    _axis("dtype", "fp32, or bf16 (float32 weights under bfloat16 autocast)"),
    _axis("device", "cpu or cuda:i"),
    _axis("mode", "infer: frozen forward (a kernel computed from weights alone is cached); train: forward and backward"),
    _axis("threads", "CPU threads"),
    _axis("seed", "seed of the weights and inputs"),
    _axis("env", "id of the environment of the measurement, described in journal.jsonl"),
    Column("params_count", "params", "", "lower", "trainable parameters at this setting; networks with 1000 classes"),
    Column("params_bytes", "params", "B", "lower", "size of parameters and buffers"),
    Column("kernel_height", "params", "px", "", "rows of the spatial kernel at this setting; empty if the method has none"),
    Column("kernel_width", "params", "px", "", "columns of the spatial kernel; a learned size is the size at initialisation"),
    Column("convs_exchanged", "params", "", "", "convolutions of a library network replaced by the operator"),
    Column("convs_kept", "params", "", "", "convolutions of the network left unchanged"),
    Column("convs_kept_why", "params", "name", "", "number of unchanged convolutions per reason"),
    Column("flops", "flops", "FLOP", "lower", "real operations of one call as executed on this device; conventions in README"),
    Column("gmacs", "flops", "GMAC", "lower", "multiply-adds of the direct form as counted by fvcore, where an FFT counts 0"),
    Column("flops_eff", "flops", "FLOP", "lower", "operations of the direct form, counting only taps inside the feature map"),
    Column("flops_kernel", "flops", "FLOP", "lower", "operations to compute the kernel: per training call, once before inference"),
    Column("kernel_share", "flops", "", "", "flops_kernel as a fraction of a forward pass that computes its kernel"),
    Column("flops_fft", "flops", "FLOP", "lower", "operations in Fourier transforms, included in flops"),
    Column("sfu_ops", "flops", "", "lower", "transcendental evaluations (exp, sin, erf, ...), not included in flops"),
    Column("op_count", "flops", "", "lower", "ATen operations per call, without views and bare allocations"),
    Column("weights_bytes", "flops", "B", "lower", "weights read per call; a cached kernel replaces those it is computed from"),
    Column("latency_ms", "latency", "ms", "lower", "latency per call: median over rounds of the median of the clean samples"),
    Column("latency_lo_ms", "latency", "ms", "", "lower end of the 95% confidence interval (t, log of per-round medians)"),
    Column("latency_hi_ms", "latency", "ms", "", "upper end of the 95% confidence interval"),
    Column("latency_min_ms", "latency", "ms", "lower", "fastest sample; biased by favourable cache states, for a cross-check only"),
    Column("latency_p90_ms", "latency", "ms", "lower", "90th percentile of all samples, including disturbed ones"),
    Column("cpu_ms", "latency", "ms", "lower", "median CPU time per call (CPU, one thread)"),
    Column("rounds", "latency", "", "", "number of rounds, the unit of replication"),
    Column("calls", "latency", "", "", "number of timed calls in all rounds"),
    Column("clean_share", "latency", "", "higher", "fraction of samples without an involuntary context switch (CPU)"),
    Column("faults_per_call", "latency", "", "lower", "minor page faults per call; above 0 the allocator is timed too (CPU)"),
    Column("timer", "latency", "name", "", "timer: wall (host clock); on a GPU cold, hot, graph or wall, see README"),
    Column("converged", "latency", "", "", "1: the interval reached the target width"),
    Column("contended", "latency", "", "", "1: too few clean samples; latency_ms is CPU time (1 thread)"),
    Column("launch_bound", "latency", "", "", "1: the host takes longer to enqueue a call than the GPU to run it"),
    Column("graph_ms", "latency", "ms", "lower", "latency per call inside a CUDA graph with warm caches; only if launch_bound"),
    Column("throttled", "latency", "", "", "1: the GPU clock of a round stayed below 75% of the highest clock in five repetitions"),
    Column("sm_clock_mhz", "latency", "MHz", "", "GPU multiprocessor clock: median over rounds"),
    Column("gpu_temperature_c", "latency", "degC", "", "highest GPU temperature before or after a round"),
    Column("foreign_processes", "latency", "", "lower", "largest number of other compute processes on the GPU in any round"),
    Column("place", "", "", "lower", "rank by latency in the setting; tied methods have the same rank"),
    Column("speedup", "", "", "higher", "speedup over the baseline: median ratio over rounds (Hodges-Lehmann)"),
    Column("speedup_lo", "", "", "higher", "lower end of the 95% confidence interval; paired by round within one session"),
    Column("speedup_hi", "", "", "higher", "upper end of the 95% confidence interval"),
    Column("verdict", "", "", "", "verdict against the baseline: faster, slower, same or unclear"),
    Column("pareto", "", "", "higher", "1: on the Pareto front of latency and accuracy; 0 also if not above trivial accuracy"),
    Column("bytes_min", "", "B", "lower", "compulsory traffic: input, output, weights and, in training, gradients, each once"),
    Column("limit_ms", "", "ms", "lower", "time of the traffic or the operations at the measured peak rates (env --measure)"),
    Column("pct_of_limit", "", "%", "higher", "limit_ms over latency_ms; a bound for this algorithm, not for others"),
    Column("bound", "", "", "", "limiting factor: memory, compute, or launch if launching operations takes most of the time"),
    Column("mem_peak_bytes", "memory", "B", "lower", "peak allocated memory above the memory allocated before the call"),
    Column("mem_input_ratio", "memory", "", "lower", "mem_peak_bytes over the size of the input"),
    Column("mem_rss_bytes", "memory", "B", "lower", "resident set growth during the call, with library workspace (CPU, Linux)"),
    Column("mem_saved_bytes", "memory", "B", "lower", "distinct storages saved from forward to backward, without weights"),
    Column("energy_j", "energy", "J", "lower", "energy per call with warm caches: device energy during a window minus idle energy"),
    Column("energy_lo_j", "energy", "J", "", "lower end of the 95% confidence interval (t, log of the windows)"),
    Column("energy_hi_j", "energy", "J", "", "upper end of the 95% confidence interval"),
    Column("power_w", "energy", "W", "lower", "mean device power during the calls, including idle power: median over windows"),
    Column("idle_w", "energy", "W", "", "mean idle power just before the calls: median over windows"),
    Column("energy_windows", "energy", "", "", "number of windows"),
    Column("energy_window_s", "energy", "s", "", "median length of a window"),
    Column("energy_source", "energy", "name", "", "nvml: counter of the whole GPU; rapl: counters of the CPU packages, all cores"),
    Column("shift_error_circular", "properties", "", "lower", "relative shift equivariance error for circular shifts"),
    Column("shift_error_zero", "properties", "", "lower", "relative shift equivariance error for shifts with zero padding"),
    Column("error_fp64", "properties", "", "lower", "largest error against float64 on the CPU, relative to the largest value"),
    Column("error_fp64_rms", "properties", "", "lower", "RMS error against float64 on the CPU, relative to the RMS of the output"),
    Column("resolution_error", "properties", "", "lower", "relative change of the response to one image at twice the resolution"),
    Column("resolution_way", "properties", "name", "", "adaptation to twice the size that gives resolution_error"),
    Column("properties_why", "properties", "name", "", "reason why some of these columns are empty"),
    Column("accuracy", "accuracy", "%", "higher", "top-1 accuracy on the test split: mean over seeds"),
    Column("accuracy_lo", "accuracy", "%", "", "lower end of the 95% confidence interval (t, over seeds); empty with one seed"),
    Column("accuracy_hi", "accuracy", "%", "", "upper end of the 95% confidence interval"),
    Column("accuracy_half", "accuracy", "%", "", "half-width of the interval in points, before clipping to 0 and 100"),
    Column("accuracy_seeds", "accuracy", "", "", "number of seeds (of the weights and of the order of images)"),
    Column("accuracy_protocol", "accuracy", "name", "", "training protocol; accuracies are comparable within one protocol only"),
    Column("accuracy_data", "accuracy", "name", "", "data set"),
    Column("accuracy_res", "accuracy", "px", "", "training resolution; may differ from that of the latency cell"),
    Column("accuracy_network", "accuracy", "name", "", "network around the operator"),
    Column("accuracy_floor", "accuracy", "%", "", "trivial accuracy: accuracy of a trivial predictor"),
    Column("accuracy_images", "accuracy", "", "", "images of the test split, the same for all seeds"),
    Column("accuracy_floor_of", "accuracy", "name", "", "trivial predictor: the largest class, or a shortcut"),
    Column("accuracy_validation", "accuracy", "%", "higher", "accuracy on the validation split after the last epoch"),
    Column("accuracy_lr", "accuracy", "", "", "learning rate; the most frequent over seeds if it was tuned per seed"),
    Column("accuracy_epochs", "accuracy", "", "", "number of epochs"),
    Column("accuracy_train_s", "accuracy", "s", "lower", "time of the training steps of the whole network"),
    Column("accuracy_images_s", "accuracy", "1/s", "higher", "training images per second"),
    Column("accuracy_params", "accuracy", "", "", "trainable parameters of the whole network with the classes of the data set"),
    Column("accuracy_processes", "accuracy", "", "", "number of training processes"),
)  # fmt: skip

# Columns of accuracy.csv: one row per training and evaluation resolution, not averaged over seeds.
ACCURACY_COLUMNS: tuple[Column, ...] = (
    _axis("method", "registered name of the method; original: the published network"),
    _axis("label", "name with the overridden options and the kernel size"),
    _axis("params", "overridden options as JSON"),
    _axis("network", "network around the operator, with its options"),
    _axis("device", "cpu or cuda:i"),
    _axis("threads", "CPU threads"),
    _axis("data", "data set with its options"),
    _axis("res", "training resolution", "px"),
    _axis("eval_res", "evaluation resolution", "px"),
    _axis("way", "adaptation of operators of fixed map size to another resolution; empty if none was needed"),
    _axis("protocol", "training protocol; accuracies are comparable within one protocol only"),
    _axis("seed", "seed of the weights and of the order of images"),
    _axis("env", "id of the environment of the training, described in journal.jsonl"),
    Column("accuracy", "accuracy", "%", "higher", "top-1 accuracy on the test split at eval_res"),
    Column("validation", "accuracy", "%", "higher", "accuracy on the validation split at res after the last epoch"),
    Column("floor", "accuracy", "%", "", "trivial accuracy: accuracy of a trivial predictor"),
    Column("floor_of", "accuracy", "name", "", "trivial predictor: the largest class, or a shortcut"),
    Column("images", "accuracy", "", "", "images of the test split, the same for all seeds"),
    Column("lr", "accuracy", "", "", "learning rate; the best on the validation split if several were tried"),
    Column("epochs", "accuracy", "", "", "number of epochs"),
    Column("params_count", "accuracy", "", "lower", "trainable parameters of the whole network with the classes of the data set"),
    Column("train_s", "accuracy", "s", "lower", "time of the training steps, without search and evaluation"),
    Column("images_s", "accuracy", "1/s", "higher", "training images per second"),
    Column("processes", "accuracy", "", "", "number of training processes"),
    _axis("status", "ok, or the reason why accuracy is empty"),
    _axis("detail", "detailed reason"),
)  # fmt: skip

METRICS: tuple[str, ...] = tuple(dict.fromkeys(column.metric for column in COLUMNS if column.metric))
# Energy and properties take ten seconds per cell and no ranking needs them.
DEFAULT_METRICS = tuple(metric for metric in METRICS if metric not in ("energy", "properties"))


def columns_of(metric: str) -> list[str]:
    """Return the names of the columns of a metric."""
    return [column.name for column in COLUMNS if column.metric == metric]


def headline(metric: str) -> Column:
    """Return the column by which a metric is compared: its first."""
    return get(columns_of(metric)[0])


def get(name: str) -> Column:
    """Return the column of that name. Raises KeyError if there is none."""
    return {column.name: column for column in COLUMNS}[name]


AXES = ("res", "channels", "batch", "kernel", "threads", "dtype", "mode")  # may split the tables of a report
