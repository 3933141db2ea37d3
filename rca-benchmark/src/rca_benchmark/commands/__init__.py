"""One module per command of ``rca-benchmark``; each has ``register(commands)``."""
