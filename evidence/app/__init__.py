"""A small Django project that echoes tokens through the database."""
