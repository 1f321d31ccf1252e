"""A model."""

from django.db import models


class Row(models.Model):
    """A row."""
