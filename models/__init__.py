"""Churn, customer value, next purchase, segments: fit, predict, save, load."""
