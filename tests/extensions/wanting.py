"""An extension that cannot do without members."""

import lightbulb

from worker_bot import authoring

loader = lightbulb.Loader()
authoring.needs(__name__, intents=("GUILD_MEMBERS",), cache="members")
