"""The leaderboard in markdown."""
