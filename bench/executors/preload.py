"""Imports of the forkserver, which every worker inherits. No other process imports this module."""

from bench.executors.child import die_with_parent

die_with_parent()
