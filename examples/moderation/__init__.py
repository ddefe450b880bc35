"""A moderation bot, as a lightbulb extension: `moderation.extension`."""
