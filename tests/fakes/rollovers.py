"""`RolloverStore` in memory. It passes the contract suite of the real one (tests/contract/test_rollovers.py)."""

from flotilla.domain.rollover_record import FINISHED, Phase, RolloverRequest, RolloverStatus, RolloverView
from flotilla.errors import RetryError


class MemoryRollovers:
    """What a supervisor needs of roll-overs. away: answer nothing, as a database that is gone."""

    def __init__(self) -> None:
        self.away = False
        self.requests: dict[str, RolloverRequest] = {}
        self.statuses: dict[str, RolloverStatus] = {}
        self.servers: list[int] = []

    def put(self, request: RolloverRequest) -> None:
        """Ask for one, as the API does."""
        self.requests[request.id] = request

    async def unfinished(self) -> RolloverView | None:
        self._require_there()
        for rollover_id, request in sorted(self.requests.items()):
            status = self.statuses.get(rollover_id, RolloverStatus(rollover_id, Phase.PENDING))
            if status.phase not in FINISHED:
                return RolloverView(request, status)
        return None

    async def save(self, status: RolloverStatus) -> None:
        self._require_there()
        if status.rollover_id in self.requests:
            self.statuses[status.rollover_id] = status

    async def last_server(self) -> int:
        self._require_there()
        return max([*self.servers, *(status.new_server or 0 for status in self.statuses.values()), 0])

    def _require_there(self) -> None:
        if self.away:
            raise RetryError("The database does not answer.", code="database_unavailable")
