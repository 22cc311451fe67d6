"""Training a network: `recipe` (what timm's factories make of a protocol), `batches`, `objective`, `loop`, `search` (choices made
before it), `checkpoint`; `ranks` and `norms` for several processes."""
