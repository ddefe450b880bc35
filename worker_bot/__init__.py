"""One process per bot token: hikari and lightbulb, and the fork server that the workers come from."""
