"""One cell with its module, its inputs and the measured call; its predicted cost; the status of its exceptions."""
