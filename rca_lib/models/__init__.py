"""Models that several questions share."""
