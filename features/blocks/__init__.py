"""Blocks of the feature kernel: each file holds a family of columns and the compiled function that fills them."""
