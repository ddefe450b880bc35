"""Who and what there is: applications, users, guilds, and how they look as JSON."""
