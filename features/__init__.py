"""Every number computed from a history: for a customer, an item, or both."""
