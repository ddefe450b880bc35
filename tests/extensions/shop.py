"""An extension whose commands a test makes worse and better."""

from typing import Any

import hikari
import lightbulb


def loader_of(**changes: Any) -> lightbulb.Loader:
    """Return a loader with a command. changes: `name`, `permissions`, `guild` (an id), `count` (of
    more commands), `more` (how their names begin), `nsfw`."""
    loader = lightbulb.Loader()
    names = [
        changes.get("name", "shop"),
        *(f"{changes.get('more', 'more')}-{n}" for n in range(changes.get("count", 0))),
    ]
    for name in names:
        permissions = changes.get("permissions", hikari.UNDEFINED)

        class Shop(
            lightbulb.SlashCommand,
            name=name,
            description="Of a shop.",
            default_member_permissions=permissions,
            nsfw=changes.get("nsfw", False),
        ):
            item = lightbulb.string("item", "What it is.", default="")

            @lightbulb.invoke
            async def invoke(self, ctx: lightbulb.Context) -> None:
                await ctx.respond("sold")

        loader.command(Shop, guilds=[changes["guild"]] if "guild" in changes else None)
    return loader
