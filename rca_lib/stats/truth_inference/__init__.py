"""Truth inference from several ratings per item."""
