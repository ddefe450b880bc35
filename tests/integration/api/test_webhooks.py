"""Operators' webhooks over HTTP; that they are delivered is shown in tests/integration/jobs."""

import base64
import re
import textwrap
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

import api as api_package
from api.services import Serving
from api.webhooks import MadeWebhook, Webhook
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.tables import webhooks
from flotilla.domain.happenings import Happening
from flotilla.domain.webhooks import Webhook as DomainWebhook
from jobs.webhooks import signed_headers
from tests.builders import T0
from tests.integration.api.conftest import Api

PATH = "/api/v1/webhooks"
URL = "https://example.org/hook"
DOCUMENT = Path(api_package.__file__).parents[1] / "docs" / "webhooks.md"


async def add(api: Api, **body: Any) -> dict[str, Any]:
    response = await api.call("POST", PATH, {"url": URL, **body})
    assert response.status_code == 201, await response.get_data(as_text=True)
    made: dict[str, Any] = await response.get_json()
    assert response.headers["Location"] == f"{PATH}/{made['webhook']['id']}"
    return made


async def test_a_webhook_is_made_and_its_secret_shown_once(api: Api) -> None:
    bot = await api.add_bot(1)
    made = await add(api, kinds=["deaf", "fatal"], bots=[bot["id"]], tags=["shop"])
    webhook, secret = made["webhook"], made["secret"]
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert webhook | {"url": URL, "kinds": ["deaf", "fatal"], "bots": [bot["id"]], "tags": ["shop"]} == webhook
    assert (webhook["enabled"], webhook["failures"], webhook["last_at"]) == (True, 0, None)
    assert await api.get(f"{PATH}/{webhook['id']}") == webhook
    assert (await api.get(PATH))["items"] == [webhook]
    async with api.services.database.read() as connection:
        [row] = (await connection.execute(webhooks.select())).all()
    assert secret.encode() not in bytes(row.secret_encrypted)
    assert api.services.vault.decrypt(row.secret_encrypted) == secret


async def test_a_webhook_is_changed_and_removed(api: Api) -> None:
    webhook = (await add(api))["webhook"]
    path = f"{PATH}/{webhook['id']}"
    changed = await api.call("PATCH", path, {"kinds": ["deaf"], "enabled": False})
    assert await changed.get_json() == webhook | {"kinds": ["deaf"], "enabled": False}
    assert await (await api.call("PATCH", path, {})).get_json() == webhook | {"kinds": ["deaf"], "enabled": False}
    assert (await api.call("DELETE", path)).status_code == 204
    for method, where in (("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/test")):
        await api.problem(await api.call(method, where, {} if method == "PATCH" else None), 404, "webhook_unknown")
    await api.problem(await api.call("GET", f"{path}/deliveries"), 404, "webhook_unknown")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "nonsense"}, "webhook_url_invalid"),
        ({"url": "https://127.0.0.1/"}, "webhook_url_private"),
        ({"url": "http://example.org/"}, "webhook_url_private"),
        ({"url": URL, "kinds": ["nonsense"]}, "webhook_kind_unknown"),
        ({"url": URL, "bots": ["nobody"]}, "webhook_bot_unknown"),
        ({"url": URL, "more": 1}, "input_invalid"),
        ({"url": f"https://e.org/{'x' * 3000}"}, "input_invalid"),
        ({}, "input_invalid"),
    ],
)
async def test_what_cannot_be_a_webhook_is_refused(api: Api, body: dict[str, Any], code: str) -> None:
    await api.problem(await api.call("POST", PATH, body), 422, code)
    webhook = (await add(api))["webhook"]
    if body:
        await api.problem(await api.call("PATCH", f"{PATH}/{webhook['id']}", body), 422, code)
    assert (await api.get(f"{PATH}/{webhook['id']}")) == webhook


async def test_receivers_of_this_network_need_the_setting(api: Api) -> None:
    within = replace(api.services, serving=Serving(webhooks_allow_private=True))
    allowed = Api(within, api.nudges, api.queue, api.keys, api.metrics)
    assert (await allowed.call("POST", PATH, {"url": "http://127.0.0.1:9/x"})).status_code == 201


async def test_deliveries_are_listed_with_tests_among_them(api: Api) -> None:
    webhook = (await add(api, kinds=["fatal"]))["webhook"]
    path = f"{PATH}/{webhook['id']}"
    events = [Happening(str(ULID()), None, T0, code) for code in ("fatal", "rollover_failed")]
    await SqlFleetStore(api.services.database).record_happenings(events)
    response = await api.call("POST", f"{path}/test")
    asked = await response.get_json()
    assert (response.status_code, asked["kind"], asked["state"]) == (202, "test", "pending")
    found = await api.get(f"{path}/deliveries?limit=1")
    assert found["items"] == [asked]
    rest = await api.get(f"{path}/deliveries?cursor={found['next_cursor']}")
    assert [(row["kind"], row["attempts"]) for row in rest["items"]] == [("fatal", 0)]


def test_a_secret_is_not_shown_when_it_is_printed() -> None:
    made = MadeWebhook(Webhook.of(DomainWebhook("w", URL, T0)), "whsec_s3cret")
    assert "s3cret" not in f"{made} {made!r} {[made]}"


def test_the_documents_examples_verify_what_is_sent() -> None:
    secret, body = f"whsec_{base64.b64encode(b's' * 32).decode()}", '{"type":"test","data":{}}'
    headers = signed_headers(secret, "01ARZ3NDEKTSV4RRFFQ69G5FAV", body, datetime.now(UTC))
    examples = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        names: dict[str, Any] = {}
        exec(textwrap.dedent(example), names)
        names["verify"](secret, headers, body.encode())
        for wrong in (
            (secret, headers, b"{}"),
            (secret, headers | {"webhook-timestamp": "1"}, body.encode()),
            (f"whsec_{base64.b64encode(b'x' * 32).decode()}", headers, body.encode()),
        ):
            with pytest.raises(Exception, match=r"(?i)signature|old"):
                names["verify"](*wrong)
