"""Buy-till-you-die models: who is still a customer, and how often they buy."""
