"""Training of a network.

`recipes`: named protocols. `optim`: optimiser, schedule and mixup from timm. `batches`, `objective`, `loop`: the training itself.
`search`: learning rate and number of epochs. `checkpoint`, `weights`: files. `distributed`, `sync_batchnorm`: several processes.
"""
