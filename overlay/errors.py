"""The one exception for what a user can put right."""


class OverlayError(Exception):
    """An expected failure; its message is one line that says what to do."""
