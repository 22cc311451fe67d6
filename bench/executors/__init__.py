"""Executors run jobs in this process, in isolated workers or under torchrun. Each job yields exactly one record."""
