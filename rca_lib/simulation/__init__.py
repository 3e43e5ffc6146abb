"""Synthetic audits with planted causes, for the demo, tests and benchmarks."""
