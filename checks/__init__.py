"""Django's tests on the fork and on stock Django, and their databases."""
