"""Where a function over histories runs when one machine is not enough."""
