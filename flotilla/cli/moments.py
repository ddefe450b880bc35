"""Moments as people write them: `10m` ago, a time of day, a date, or a time with its distance from UTC."""

import re
from datetime import UTC, datetime, timedelta

import typer

_AGO = re.compile(r"(?:\d{1,6}[smhd])+")
_PART = re.compile(r"(\d+)([smhd])")
_TIME_OF_DAY = re.compile(r"\d\d:\d\d(?::\d\d)?")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment(text: str, now: datetime, option: str, *, latest: bool = False) -> float:
    """Return the moment that `text` means, in POSIX seconds. now: aware.

    What does not say how far from UTC it is, is local time: a time of day is the last one that there was. A local time
    that comes twice, or never, when clocks are set, is the first of those it may mean, with `latest` the last: what is
    shown from or up to there lacks nothing. Raises BadParameter, which names `option`.
    """
    if _AGO.fullmatch(text):
        ago_s = sum(int(count) * _UNITS_S[unit] for count, unit in _PART.findall(text))
        return now.timestamp() - ago_s
    try:
        if _TIME_OF_DAY.fullmatch(text):
            return _last_time_of_day(text, now, latest=latest)
        return _posix(datetime.fromisoformat(text), latest=latest)
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{text!r} is not a time. Write 30s, 10m, 2h or 1d ago as that, or a time such as 14:05, "
            "'2026-05-01 14:05' or 2026-05-01T14:05+02:00.",
            param_hint=option,
        ) from None


def _last_time_of_day(text: str, now: datetime, *, latest: bool) -> float:
    here = now.astimezone()
    for days in (0, 1):
        day = here.date() - timedelta(days=days)
        at = _posix(datetime.fromisoformat(f"{day} {text}"), latest=latest)
        if at <= now.timestamp():
            return at
    return at


def _posix(at: datetime, *, latest: bool) -> float:
    if at.tzinfo is not None:
        return (at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    both = at.replace(fold=0).timestamp(), at.replace(fold=1).timestamp()
    return max(both) if latest else min(both)
