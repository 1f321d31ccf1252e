"""Django's tests on patched and on official Django, and their databases."""
