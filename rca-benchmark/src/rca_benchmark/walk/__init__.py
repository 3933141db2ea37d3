"""Scores on a graph: how much of a walk from effects towards causes each node sees."""
