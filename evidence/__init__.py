"""The bug and its end on real servers: python3 evidence."""
