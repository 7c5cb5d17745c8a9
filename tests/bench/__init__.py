"""The bench: see __main__.py."""
