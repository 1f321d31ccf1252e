"""The recipe's test."""

from app import recipes

globals().update(recipes.follow("A test that starts processes", __name__))
