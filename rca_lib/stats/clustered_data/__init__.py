"""Variances of estimates whose observations share raters or items."""
