"""What residents may ask of a node: the site to read; later, answers and registration. Never mounted with the staff's doors."""
