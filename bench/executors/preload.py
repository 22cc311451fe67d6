"""Imports of the forkserver, which every worker inherits. No other process imports this module."""

import scipy.special  # noqa: F401  # 0.2 s, once for all workers

from bench.executors.child import die_with_parent

die_with_parent()
