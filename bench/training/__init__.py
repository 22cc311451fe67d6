"""Training a network: `recipe` (what timm's factories make of a protocol), `batches`, `loop`, `ranks` (several processes)."""
