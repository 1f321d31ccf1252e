"""Database servers of our own, each for the time of a run."""
