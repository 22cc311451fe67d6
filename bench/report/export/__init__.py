"""Tables of a run in other formats: JSON, Parquet, LaTeX."""
