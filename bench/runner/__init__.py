"""Everything that starts executors: sweeps, A/B comparisons, audits."""
