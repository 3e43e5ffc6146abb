"""Stores of canonical audits: content, cases, side tables, history."""
