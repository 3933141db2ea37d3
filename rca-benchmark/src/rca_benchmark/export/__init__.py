"""Telemetry back ends to one observation (``collect``)."""
