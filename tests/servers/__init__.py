"""Real servers for the tests: private ports and folders, stopped by process id."""
