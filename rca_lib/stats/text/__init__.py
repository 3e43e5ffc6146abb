"""Embedding, clustering and classification of short texts."""
