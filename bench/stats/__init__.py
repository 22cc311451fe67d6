"""Statistics of repeated measurements: intervals of rounds, ratios and verdicts, ranks."""
