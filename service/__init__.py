"""Load the registered models; answer online and in batch."""
