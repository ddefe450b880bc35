import json

import pytest

from flotilla.db.fleet import SqlFleetStore
from flotilla.db.keys import Role
from flotilla.domain.bot_secrets import MAX_SECRETS, MAX_VALUE_BYTES
from tests.integration.api.conftest import Api


async def plain(api: Api, bot_id: str) -> dict[str, str]:
    stored = (await SqlFleetStore(api.services.database).credentials([bot_id]))[bot_id].secrets
    return {name: api.services.vault.decrypt(value) for name, value in stored.items()}


async def test_a_secret_goes_in_encrypted_and_never_comes_out(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/secrets"
    empty = await api.call("GET", path)
    assert (await empty.get_json(), empty.headers["ETag"]) == ({"bot_id": bot["id"], "version": 0, "items": []}, '"0"')
    sent = api.nudges.sent
    for name, value in (("SHOP_DB", "postgres://u:hunter2@h/d"), ("A_KEY", "ключ\nwith two lines")):
        response = await api.call("PUT", f"{path}/{name}", {"value": value})
        text = await response.get_data(as_text=True)
        assert response.status_code == 200
        assert value not in json.loads(text).values()
        assert "hunter2" not in text
    assert response.headers["ETag"] == '"2"'
    assert api.nudges.sent == sent + 2
    assert await plain(api, bot["id"]) == {"SHOP_DB": "postgres://u:hunter2@h/d", "A_KEY": "ключ\nwith two lines"}
    shown = await api.get(path)
    assert [(row["name"], row["changed_by"]) for row in shown["items"]] == [
        ("A_KEY", "admin-key"),
        ("SHOP_DB", "admin-key"),
    ]
    assert all(set(row) == {"name", "changed_at", "changed_by"} for row in shown["items"])
    removed = await api.call("DELETE", f"{path}/SHOP_DB", If_Match='"2"')
    assert (removed.status_code, await removed.get_data(), removed.headers["ETag"]) == (204, b"", '"3"')
    assert await plain(api, bot["id"]) == {"A_KEY": "ключ\nwith two lines"}
    told = (await api.get("/api/v1/happenings?code=secret_changed"))["items"]
    assert [(row["detail"]["secret"], row["detail"]["what"], row["detail"]["by"]) for row in told] == [
        ("SHOP_DB", "removed", "admin-key"),
        ("A_KEY", "set", "admin-key"),
        ("SHOP_DB", "set", "admin-key"),
    ]
    assert "hunter2" not in json.dumps(told)
    assert (await api.services.bots.get(bot["id"])).bot.desired_epoch == 0


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("PATH", {"value": "x"}, 422, "secret_name_invalid"),
        ("LD_PRELOAD", {"value": "hunter2"}, 422, "secret_name_invalid"),
        ("FLOTILLA_HOME", {"value": "x"}, 422, "secret_name_invalid"),
        ("lower", {"value": "x"}, 422, "secret_name_invalid"),
        ("SHOP_DB", {"value": ""}, 422, "secret_value_invalid"),
        ("SHOP_DB", {"value": "hunter2\0"}, 422, "secret_value_invalid"),
        ("SHOP_DB", {"value": "é" * (MAX_VALUE_BYTES // 2 + 1)}, 422, "secret_value_invalid"),
        ("SHOP_DB", {"value": "hunter2" * MAX_VALUE_BYTES}, 422, "input_invalid"),
        ("SHOP_DB", {"value": 7}, 422, "input_invalid"),
        ("SHOP_DB", {"hunter2": "x"}, 422, "input_invalid"),
        ("SHOP_DB", b"hunter2", 400, "json_malformed"),
    ],
)
async def test_what_cannot_be_a_secret_is_refused_and_never_repeated(
    api: Api, name: str, body: object, status: int, code: str
) -> None:
    bot = await api.add_bot(1)
    problem = await api.problem(await api.call("PUT", f"/api/v1/bots/{bot['id']}/secrets/{name}", body), status, code)
    assert "hunter2" not in str(problem)
    assert await plain(api, bot["id"]) == {}


async def test_who_may_what_and_for_which_version(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/secrets"
    for method, where, body in (
        ("GET", path, None),
        ("PUT", f"{path}/A", {"value": "x"}),
        ("DELETE", f"{path}/A", None),
    ):
        await api.problem(await api.call(method, where, body, role=Role.OPERATOR), 403, "role_too_low")
        await api.problem(await api.call(method, where, body, role=None), 401, "key_missing")
        gone = where.replace(bot["id"], "nope")
        await api.problem(await api.call(method, gone, body), 404, "bot_unknown")
    await api.problem(await api.call("DELETE", f"{path}/A"), 404, "secret_unknown")
    await api.call("PUT", f"{path}/A", {"value": "one"}, If_Match='"0"')
    await api.problem(await api.call("PUT", f"{path}/A", {"value": "two"}, If_Match='"0"'), 412, "secrets_changed")
    await api.problem(await api.call("DELETE", f"{path}/A", If_Match='"0"'), 412, "secrets_changed")
    await api.problem(await api.call("PUT", f"{path}/A", {"value": "two"}, If_Match="0"), 400, "request_malformed")
    assert await plain(api, bot["id"]) == {"A": "one"}


async def test_one_secret_too_many_is_a_conflict(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/secrets"
    for number in range(MAX_SECRETS):
        assert (await api.call("PUT", f"{path}/S{number}", {"value": "x"})).status_code == 200
    await api.problem(await api.call("PUT", f"{path}/ONE_MORE", {"value": "x"}), 409, "secrets_too_many")
