"""Headquarters: the desk, in which every rule lives, and thin doors to it."""
