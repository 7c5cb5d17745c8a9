"""The path of a message, from what staff typed to proof of who it reached. READ `path.py` FIRST."""
