"""The recipe's wrapper."""

from app import recipes

DatabaseWrapper = recipes.follow("A backend")["DatabaseWrapper"]
