"""A bot for plain hikari: it knows nothing of Flotilla, nor of lightbulb.

`DISCORD_TOKEN=… python -m plain_hikari.bot` runs it by itself.
"""

import os
import random
import re

import hikari

DICE = re.compile(r"(?P<count>[1-9]\d?)d(?P<sides>[1-9]\d{0,2})")
AGAIN = "again:"


def rolled(text: str) -> str:
    """Return what comes of dice such as `2d6`, or how to write them."""
    dice = DICE.fullmatch(text.strip().lower())
    if dice is None:
        return "Dice are written like 2d6."
    thrown = [random.randint(1, int(dice["sides"])) for _ in range(int(dice["count"]))]  # noqa: S311 - a game
    return f"{dice[0]}: {' + '.join(map(str, thrown))} = {sum(thrown)}"


def again(text: str) -> list[hikari.api.MessageActionRowBuilder]:
    """Return a button that rolls the same dice."""
    row = hikari.impl.MessageActionRowBuilder()
    row.add_interactive_button(hikari.ButtonStyle.SECONDARY, f"{AGAIN}{text}"[:100], label="Again")
    return [row]


def create_bot() -> hikari.GatewayBot:
    """Return the bot with all its listeners."""
    bot = hikari.GatewayBot(
        token=os.environ["DISCORD_TOKEN"],
        intents=hikari.Intents.ALL_UNPRIVILEGED,
        cache_settings=hikari.impl.CacheSettings(components=hikari.api.CacheComponents.ME),
    )

    @bot.listen()
    async def register(_event: hikari.StartingEvent) -> None:
        application = await bot.rest.fetch_application()
        roll = bot.rest.slash_command_builder("roll", "Rolls dice.")
        roll.add_option(hikari.CommandOption(type=hikari.OptionType.STRING, name="dice", description="Such as 2d6."))
        await bot.rest.set_application_commands(application, [roll])

    @bot.listen()
    async def roll(event: hikari.CommandInteractionCreateEvent) -> None:
        given = event.interaction.options or ()
        text = next((str(option.value) for option in given if option.name == "dice"), "1d6")
        await event.interaction.create_initial_response(
            hikari.ResponseType.MESSAGE_CREATE, rolled(text), components=again(text)
        )

    @bot.listen()
    async def roll_again(event: hikari.ComponentInteractionCreateEvent) -> None:
        text = event.interaction.custom_id.removeprefix(AGAIN)
        await event.interaction.create_initial_response(
            hikari.ResponseType.MESSAGE_UPDATE, rolled(text), components=again(text)
        )

    @bot.listen()
    async def answer(event: hikari.MessageCreateEvent) -> None:
        me = bot.get_me()
        if event.is_human and me is not None and event.content and me.mention in event.content:
            await event.message.respond(rolled(event.content.replace(me.mention, "")), reply=True)

    return bot


if __name__ == "__main__":
    create_bot().run()
