#!/usr/bin/env bash
# Package: python-ulid 4.1.0, Python 3.11 or newer.
#
# Guess: since version 4 the ids that `ULID()` makes in one process grow, also within one millisecond, as its
# documentation promises. `ULID.from_datetime(then)`, an id for a row of another time,
# has nothing to do with that.
#
# What happens: both take turns at one generator that remembers only the last time it was asked for. An id made for
# another time in between makes it forget: the next `ULID()` of the same millisecond draws anew, and in half of the
# cases sorts before the one made earlier. So does a second `from_datetime(now)` when another `now` came in between,
# as with several tasks or threads that each noted their own time.
#
# Output seen (the counts vary):
#   python-ulid 4.1.0
#   ULID() alone: 10000 pairs, 0 out of order
#   with from_datetime(an older time) in between: 9954 pairs of one millisecond, 4954 out of order
#   two times in turn, each id of one time after its predecessor: 5011 of 9998 out of order
#   with a generator of its own for the older time: 0 out of order
#
# Why it matters: rows ordered by ULID are read as a history, and paged by it ("everything after this id"). An import, a
# backfill or an event that is dated by when it happened, in the same process, and events of one millisecond are told
# in the wrong order, or skipped by a reader who has already passed the greater id.
#
# Do instead: a `ulid.ULIDGenerator()` of its own for what is dated, `generate(then)`, and `ULID()` only for "now";
# where the order must hold across times, a sequence number beside the id.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check python-ulid==4.1.0

cat >"$folder/try.py" <<'PY'
import importlib.metadata
from datetime import UTC, datetime, timedelta

from ulid import ULID, ULIDGenerator

PAIRS = 10_000
OLD = datetime(2026, 1, 1, tzinfo=UTC)

print("python-ulid", importlib.metadata.version("python-ulid"))
alone = [ULID() for _ in range(PAIRS + 1)]
alone_wrong = sum(after < before for before, after in zip(alone, alone[1:]))
print(f"ULID() alone: {PAIRS} pairs, {alone_wrong} out of order")

same = wrong = 0
for _ in range(PAIRS):
    before = ULID()
    ULID.from_datetime(OLD)
    after = ULID()
    if before.milliseconds == after.milliseconds:
        same += 1
        wrong += after < before
print(f"with from_datetime(an older time) in between: {same} pairs of one millisecond, {wrong} out of order")

dated = [ULID.from_datetime(OLD + timedelta(seconds=number % 2)) for number in range(PAIRS)]
in_turn = sum(after < before for before, after in zip(dated, dated[2:]))
print(f"two times in turn, each id of one time after its predecessor: {in_turn} of {PAIRS - 2} out of order")

apart = ULIDGenerator()
mended = 0
for _ in range(PAIRS):
    before = ULID()
    apart.generate(OLD)
    mended += ULID() < before
print(f"with a generator of its own for the older time: {mended} out of order")

if alone_wrong or mended or same < PAIRS / 20 or not 0.4 < wrong / same < 0.6 or not 0.4 < in_turn / PAIRS < 0.6:
    raise SystemExit("not as stated any more")
PY
"$folder/venv/bin/python" "$folder/try.py"
