"""The sub-commands: one module each, with ``add`` (its options) and ``run`` (what it does)."""
