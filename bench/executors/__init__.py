"""Where jobs run: in this process, in isolated workers, under torchrun. Jobs in, exactly one record a job out."""
