"""The steps of the path, in the order of path.py: accept, address, approve, dispatch, render, send."""
