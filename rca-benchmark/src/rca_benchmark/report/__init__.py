"""Results to leaderboards."""
