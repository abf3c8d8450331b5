"""LightGBM's trees: trained, flattened for compiled walks, explained."""
