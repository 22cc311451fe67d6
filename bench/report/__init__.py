"""Reports: pure functions of journals. Nothing here imports torch."""
