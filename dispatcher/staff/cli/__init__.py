"""The staff's command line: thin, over the node's HTTP door with the person's own token. No rule lives here.

`client.py` speaks to the node; `verbs.py` has a function for each command; `say.py` is how answers look.
"""
