"""Which config a bot is run with, and when one that fails is gone back from. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from flotilla.domain.config import BotConfig
from flotilla.domain.config_record import ConfigOutcome, Refusal
from flotilla.domain.reasons import NATIVE_FAULTS

MAX_DETAIL_CHARS: Final = 2000

TRIAL_FAULTS: Final = NATIVE_FAULTS | {"bot_code_failed", "crashed", "unresponsive", "memory_limit"}
"""Ends of a bot that was READY with a config that has not proved itself yet."""

STARTING_FAULTS: Final = TRIAL_FAULTS | {"intents_refused", "exited", "unseen", "startup_timeout"}
"""Ends before READY that a config can be to blame for. Discord away, a dead token or a full host are not among them."""

CURED_BY_CHANGE: Final = STARTING_FAULTS | {"crash_loop", "restart_policy"}
"""Why a bot waits or has given up that another config may cure: it is tried again at once when its config changes."""


def chosen(outcome: ConfigOutcome, config: BotConfig, version: int) -> tuple[BotConfig, int]:
    """Return what a bot is started with, and its version: what is wanted, or the last good one if that is refused."""
    refused = outcome.refused
    if refused is None or refused.version != version or outcome.good is None or outcome.good_version is None:
        return config, version
    return outcome.good, outcome.good_version


def ran_well(outcome: ConfigOutcome, config: BotConfig, version: int) -> ConfigOutcome:
    """Return what came of configs once a bot has run well with this one. A refusal of another version stays."""
    refused = outcome.refused
    kept = None if refused is not None and refused.version == version else refused
    return ConfigOutcome(version, config, kept)


def after_failure(
    outcome: ConfigOutcome, version: int, code: str, detail: str, at: datetime, *, was_ready: bool
) -> ConfigOutcome:
    """Return what came of configs after a run with `version` failed: refused, if that is to blame and one is better.

    A refusal is taken back when the last good config fails just so: then it was not the config. was_ready: the run had
    come up. Without a good config there is nothing to go back to, and the failure is one like any other.
    """
    refused = outcome.refused
    if version == outcome.good_version:
        mistaken = refused is not None and not was_ready and refused.code == code and code != "intents_refused"
        return replace(outcome, refused=None) if mistaken else outcome
    if outcome.good is None or code not in (TRIAL_FAULTS if was_ready else STARTING_FAULTS):
        return outcome
    return replace(outcome, refused=Refusal(version, code, detail[:MAX_DETAIL_CHARS], at))


def not_taken(outcome: ConfigOutcome, version: int, detail: str, at: datetime) -> ConfigOutcome:
    """Return what came of configs after a running bot's code did not take this one, and goes on with what it had."""
    return replace(outcome, refused=Refusal(version, "config_not_taken", detail[:MAX_DETAIL_CHARS], at))
