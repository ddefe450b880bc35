"""A bot that was written for plain hikari: `plain_hikari.bot:create_bot`."""
