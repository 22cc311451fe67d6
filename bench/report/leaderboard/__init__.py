"""The leaderboard, as blocks of a page."""
