"""Root cause analysis bench: telemetry to cases, cases to rankings, rankings to scores."""
