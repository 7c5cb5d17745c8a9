"""How a site is described: one YAML file, bound to frozen settings, every problem named at once."""
