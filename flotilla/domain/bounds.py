"""What a worker may tell at most. Its bot's code is not ours, so whatever it says is held to these where it is decoded.

Each bound is one that both databases can store, and that no worker of ours reaches: all numbers are finite (`ge` and
`le` refuse NaN and the infinities, too), texts have a length and no NUL, which PostgreSQL cannot store.
"""

from typing import Annotated, Final

from msgspec import Meta

PLAIN: Final = r"\A[^\x00]*\Z"
"""Of a text without NUL."""

Number = Annotated[int, Meta(ge=0, lt=2**31)]
"""Of shards, generations, versions and batches in one process: PostgreSQL's integer."""

Version = Annotated[int, Meta(ge=-1, lt=2**31)]
"""Of a config; -1: none."""

Count = Annotated[int, Meta(ge=0, lt=2**53)]
"""Of things or bytes: what JavaScript counts exactly."""

BatchNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Snowflake = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Discord's ids: 64 bits, of which time will not need the topmost before 2084."""

Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e9)]
UnixTime = Annotated[float, Meta(ge=0, le=1e11)]
"""Until the year 5138, so that a date can be made of it. A clock that is wrong is no reason to hear nothing."""

Ulid = Annotated[str, Meta(pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$", max_length=26)]
Code = Annotated[str, Meta(max_length=64, pattern=PLAIN)]
Line = Annotated[str, Meta(max_length=200, pattern=PLAIN)]
Url = Annotated[str, Meta(max_length=500, pattern=PLAIN)]
Detail = Annotated[str, Meta(max_length=8000, pattern=PLAIN)]


def plain(text: str, chars: int) -> str:
    """Return a text as it may be told: cut, and with U+FFFD in place of NUL and of what is no character.

    A name that Discord's users chose, or an exception's message, may hold anything.
    """
    cut = text[:chars].replace("\0", "\ufffd")
    return cut if cut.isascii() else cut.encode("utf-8", "surrogatepass").decode("utf-8", "replace")[:chars]
