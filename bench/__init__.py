"""The harness: cells, jobs, metrics, executors and reports. Start with `bench/spec.py`."""
