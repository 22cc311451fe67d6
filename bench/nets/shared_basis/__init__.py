"""ResNets whose convolutions share filter bases (Kang and Kim)."""
