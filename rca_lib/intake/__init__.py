"""From an export to canonical audits: sources, column mapping, validation, ledger."""
