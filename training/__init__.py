"""Backtest, judge, track, register, promote."""
