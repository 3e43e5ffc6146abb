"""Changepoint detection in series of error rates."""
