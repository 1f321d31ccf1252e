"""A project of a usual size: Django's admin, and some hundred models."""
