"""A made-up shop with known truth, for the demo, tests and benchmarks."""
