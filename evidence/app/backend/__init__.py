"""A backend of a project's own, that of a recipe."""
