"""A trained run at work: loaded, it translates arrays."""
