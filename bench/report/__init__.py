"""Reports, computed from journals alone. Does not import torch."""
