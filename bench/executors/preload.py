"""Imported by the forkserver and by nothing else: what every worker starts with."""

from bench.executors.child import die_with_parent

die_with_parent()
