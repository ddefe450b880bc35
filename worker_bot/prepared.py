"""A bot that is made before the fork and gets its token after it, so that all workers share what bots are made of.

Bots of a fleet are alike until they have a token: the usual profile, the built-in extensions. For a bot that is not,
one is made in its worker.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import hikari
import lightbulb

from flotilla.domain.config import BUILT_IN, BotConfig
from worker_bot import clients, command_sync, loading, making, texts
from worker_bot.ears import Ears
from worker_bot.making import SSL_CONTEXT
from worker_bot.profiles import Profile, profile_of
from worker_bot.stubs import DRY_TOKEN

log = logging.getLogger("flotilla.worker")


@dataclass(frozen=True, slots=True)
class Made:
    """hikari's bot with its lightbulb client. extensions: those that are loaded already."""

    app: hikari.GatewayBot
    client: lightbulb.Client
    ears: Ears
    profile: Profile
    extensions: frozenset[str] = frozenset()

    def suits(self, profile: Profile, extensions: Collection[str]) -> bool:
        """Return whether a bot of this profile can be it, and can load what is missing of `extensions`."""
        return self.profile == profile and self.extensions.issubset(extensions)


_prepared: list[Made] = []


def prepare(extensions: Iterable[str]) -> None:
    """Make a bot for the workers that are forked from now on, with those of `extensions` that are Flotilla's own.

    Never raises: without one each worker makes its own. No event loop may run.
    """
    try:
        asyncio.run(make(extensions))
    except Exception:
        log.exception("no bot could be made before the fork; each worker makes its own")


async def make(extensions: Iterable[str]) -> None:
    """Do it within a running event loop. Raises what making a bot raises, and then none is prepared."""
    _prepared.clear()
    _prepared.append(await _made(frozenset(BUILT_IN.values()).intersection(extensions)))


def bot_of(token: str, rest_url: str, profile: Profile, extensions: Collection[str]) -> Made:
    """Return the bot that was prepared, if it suits, or a new one. extensions: all that it is to load in the end."""
    making.forget()
    made = next((each for each in _prepared if each.suits(profile, extensions)), None)
    if made is None:
        return _new(token, rest_url, profile)
    _prepared.remove(made)  # one that does not suit stays: to take it apart would copy the pages that it lies on
    making.give_token(made.app, token, rest_url)
    clients.adopt(made.client)
    return made


async def _made(extensions: frozenset[str]) -> Made:
    made = _new(DRY_TOKEN, "", profile_of(BotConfig()))
    for name in sorted(extensions):
        await loading.load(made.client, name)
    await command_sync.look_ahead(made.client)
    return Made(made.app, made.client, made.ears, made.profile, extensions)


def _new(token: str, rest_url: str, profile: Profile) -> Made:
    app = hikari.GatewayBot(
        token,
        rest_url=rest_url,
        banner=None,
        logs=None,
        suppress_optimization_warning=True,
        intents=profile.intents,
        cache_settings=profile.cache_settings(),
        http_settings=hikari.impl.HTTPSettings(ssl=SSL_CONTEXT, force_close_transports=False),
    )
    client = lightbulb.client_from_app(app, localization_provider=texts.provide)
    return Made(app, client, Ears(app, starts=True), profile)
