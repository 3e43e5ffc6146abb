"""Search for slices whose error rate changed."""
