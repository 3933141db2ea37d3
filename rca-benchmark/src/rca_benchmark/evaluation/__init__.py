"""Methods on cases: run them, and score their rankings."""
