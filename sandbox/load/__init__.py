"""Load on demand: many users who use commands at a rate, and what the bots made of it."""
