"""The field's nouns, frozen, without I/O."""
