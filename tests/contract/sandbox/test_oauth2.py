"""OAuth2 on real sockets, with two clients that know nothing of the sandbox: oauthlib and hikari."""

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import hikari
import pytest
from aiohttp import encode_basic_auth

from tests.contract.sandbox.conftest import Sandbox

oauth2: Any = pytest.importorskip("oauthlib.oauth2")
BACK = "http://127.0.0.1:1/back"  # nobody listens there: the browser's redirect is only read


class Client(NamedTuple):
    id: str
    secret: str


@pytest.fixture
async def client(sandbox: Sandbox) -> Client:
    application_id, _ = await sandbox.application()
    settings = await sandbox.control("POST", f"/applications/{application_id}/oauth2", {"redirect_uris": [BACK]})
    assert settings == await sandbox.control("GET", f"/applications/{application_id}/oauth2")
    return Client(settings["client_id"], settings["client_secret"])


@pytest.fixture
async def rest() -> AsyncIterator[hikari.impl.RESTApp]:
    app = hikari.RESTApp(max_retries=0)
    await app.start()
    yield app
    await app.close()


async def browse(sandbox: Sandbox, url: str, **more: Any) -> str:
    """Follow the authorization request as a browser does, up to the redirect that leaves the sandbox."""
    async with sandbox.http.request(more.pop("method", "GET"), url, allow_redirects=False, **more) as response:
        assert response.status == 302, await response.text()
        return response.headers["Location"]


def authorize_url(sandbox: Sandbox, client: Client, **change: str) -> str:
    query = {"response_type": "code", "client_id": client.id, "scope": "identify", "redirect_uri": BACK, **change}
    return f"{sandbox.url}/oauth2/authorize?{urlencode(query)}"


def fields(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def code_of(sandbox: Sandbox, client: Client, scope: str = "identify", **user: str) -> str:
    consent = {"application_id": client.id, "allow": True} | ({"user": user} if user else {})
    await sandbox.control("POST", "/consents", consent)
    return fields(await browse(sandbox, authorize_url(sandbox, client, scope=scope)))["code"]


async def token_call(sandbox: Sandbox, path: str = "", **form: str) -> tuple[int, Any]:
    async with sandbox.http.post(f"{sandbox.url}/api/oauth2/token{path}", data=form) as response:
        return response.status, await response.json()


async def bearer(sandbox: Sandbox, path: str, token: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with sandbox.http.get(f"{sandbox.url}/api/v10{path}", headers=headers) as response:
        return response.status, await response.json()


async def access_token(sandbox: Sandbox, client: Client, scope: str) -> str:
    status, tokens = await token_call(
        sandbox, grant_type="client_credentials", scope=scope, client_id=client.id, client_secret=client.secret
    )
    assert status == 200
    return str(tokens["access_token"])


async def form_call(sandbox: Sandbox, path: str, body: str, headers: dict[str, str]) -> str:
    form = headers | {"Content-Type": "application/x-www-form-urlencoded"}
    async with sandbox.http.post(f"{sandbox.url}/api/oauth2{path}", data=body, headers=form) as response:
        return await response.text()


@pytest.mark.parametrize("basic", [True, False])
async def test_oauthlib_logs_in_with_pkce_refreshes_and_revokes(
    sandbox: Sandbox, client: Client, monkeypatch: pytest.MonkeyPatch, basic: bool
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    credentials = encode_basic_auth(client.id, client.secret) if basic else ""
    headers = {"Authorization": credentials} if basic else {}
    secret = {} if basic else {"client_secret": client.secret}
    named = {} if basic else {"client_id": client.id}
    web = oauth2.WebApplicationClient(client.id)
    verifier = web.create_code_verifier(64)
    url = web.prepare_request_uri(
        f"{sandbox.url}/oauth2/authorize",
        redirect_uri=BACK,
        scope=["identify", "guilds"],
        state="s",
        code_challenge=web.create_code_challenge(verifier, "S256"),
        code_challenge_method="S256",
    )
    await sandbox.control("POST", "/consents", {"application_id": client.id, "allow": True})
    code = web.parse_request_uri_response(await browse(sandbox, url), state="s")["code"]

    body = web.prepare_request_body(
        code=code, redirect_uri=BACK, code_verifier=verifier, include_client_id=not basic, **secret
    )
    first = web.parse_request_body_response(await form_call(sandbox, "/token", body, headers))
    assert set(first["scope"]) == {"identify", "guilds"}
    assert (await bearer(sandbox, "/users/@me", web.access_token))[1]["username"] == "sandbox-owner"
    with pytest.raises(oauth2.InvalidGrantError):
        web.parse_request_body_response(await form_call(sandbox, "/token", body, headers))

    body = web.prepare_refresh_body(refresh_token=first["refresh_token"], **secret, **named)
    second = web.parse_request_body_response(await form_call(sandbox, "/token", body, headers))
    assert (await bearer(sandbox, "/users/@me", first["access_token"]))[0] == 401
    assert (await bearer(sandbox, "/users/@me", second["access_token"]))[0] == 200

    api = f"{sandbox.url}/api/oauth2/token/revoke".replace("http:", "https:")  # oauthlib asks for TLS here; unused
    _, _, body = web.prepare_token_revocation_request(api, second["access_token"], **secret, **named)
    assert await form_call(sandbox, "/token/revoke", body, headers) == "{}"
    assert (await bearer(sandbox, "/users/@me", second["access_token"]))[0] == 401


async def test_hikari_uses_every_grant(sandbox: Sandbox, client: Client, rest: hikari.impl.RESTApp) -> None:
    base = f"{sandbox.url}/api/v10"
    code = await code_of(sandbox, client, "identify email guilds guilds.members.read")
    async with rest.acquire() as api:
        api._rest_url = base
        granted = await api.authorize_access_token(int(client.id), client.secret, code, BACK)
        refreshed = await api.refresh_access_token(int(client.id), client.secret, granted.refresh_token)
        own = await api.authorize_client_credentials_token(int(client.id), client.secret, ["identify"])
        assert own.scopes == ["identify"]
    async with rest.acquire(refreshed.access_token, hikari.TokenType.BEARER) as api:
        api._rest_url = base
        information = await api.fetch_authorization()
        assert str(information.application.id) == client.id
        assert information.user is not None
        me = await api.fetch_my_user()
        assert (me.id, me.email) == (information.user.id, "sandbox-owner@example.com")
        guilds = [guild async for guild in api.fetch_my_guilds()]
        assert [guild.is_owner for guild in guilds] == [True]
        async with rest.acquire() as other:
            other._rest_url = base
            await other.revoke_access_token(int(client.id), client.secret, refreshed.access_token)
        with pytest.raises(hikari.UnauthorizedError):
            await api.fetch_my_user()


async def test_denied_request_comes_back_with_the_error_and_the_state(sandbox: Sandbox, client: Client) -> None:
    await sandbox.control("POST", "/consents", {"application_id": client.id, "allow": False})
    answered = await browse(sandbox, authorize_url(sandbox, client, state="s"))
    assert answered.startswith(BACK)
    assert fields(answered) == {
        "error": "access_denied",
        "error_description": "The resource owner or authorization server denied the request",
        "state": "s",
    }


async def test_api_leads_to_the_authorization_page(sandbox: Sandbox, client: Client) -> None:
    url = authorize_url(sandbox, client)
    for prefix in ("/api", "/api/v10"):
        page = await browse(sandbox, url.replace("/oauth2", f"{prefix}/oauth2", 1))
        assert urlsplit(page).path == "/oauth2/authorize"
        assert fields(page) == fields(url)


@pytest.mark.parametrize(("decision", "name"), [("allow", "code"), ("deny", "error")])
async def test_page_asks_when_nothing_is_scripted(sandbox: Sandbox, client: Client, decision: str, name: str) -> None:
    url = authorize_url(sandbox, client, scope="identify guilds")
    async with sandbox.http.get(url) as response:
        page = await response.text()
    assert (response.status, response.content_type) == (200, "text/html")
    assert re.findall(r"<li>(.*?)</li>", page) == ["identify", "guilds"]
    assert re.findall(r'name="decision" value="(\w+)"', page) == ["allow", "deny"]
    form = {"decision": decision, "username": "eve"}
    assert name in fields(await browse(sandbox, url, method="POST", data=form))


async def test_page_names_the_user_who_answers(sandbox: Sandbox, client: Client) -> None:
    form = {"decision": "allow", "username": "eve"}
    answered = await browse(sandbox, authorize_url(sandbox, client), method="POST", data=form)
    _, tokens = await token_call(
        sandbox,
        grant_type="authorization_code",
        code=fields(answered)["code"],
        redirect_uri=BACK,
        client_id=client.id,
        client_secret=client.secret,
    )
    assert (await bearer(sandbox, "/users/@me", tokens["access_token"]))[1]["username"] == "eve"


async def test_prompt_none_skips_the_page_once_it_was_granted(sandbox: Sandbox, client: Client) -> None:
    url = authorize_url(sandbox, client, prompt="none")
    async with sandbox.http.get(url, allow_redirects=False) as response:
        assert response.status == 200
    code = await code_of(sandbox, client)
    form = {"client_id": client.id, "client_secret": client.secret, "redirect_uri": BACK}
    assert (await token_call(sandbox, grant_type="authorization_code", code=code, **form))[0] == 200
    assert fields(await browse(sandbox, url))["code"]


async def test_implicit_grant_answers_in_the_fragment(sandbox: Sandbox, client: Client) -> None:
    await sandbox.control("POST", "/consents", {"application_id": client.id, "allow": True})
    answered = urlsplit(await browse(sandbox, authorize_url(sandbox, client, response_type="token", state="s")))
    assert not answered.query
    got = {name: values[0] for name, values in parse_qs(answered.fragment).items()}
    assert (got["token_type"], got["expires_in"], got["scope"], got["state"]) == ("Bearer", "604800", "identify", "s")
    assert (await bearer(sandbox, "/users/@me", got["access_token"]))[0] == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"client_id": "1"}, "Unknown Application"),
        ({"redirect_uri": "http://127.0.0.1:1/elsewhere"}, "Invalid OAuth2 redirect_uri"),
    ],
)
async def test_request_that_cannot_be_trusted_is_not_redirected(
    sandbox: Sandbox, client: Client, change: dict[str, str], message: str
) -> None:
    async with sandbox.http.get(authorize_url(sandbox, client, **change), allow_redirects=False) as response:
        assert response.status == 400
        assert message in await response.text()


async def test_unknown_scope_comes_back_as_an_error(sandbox: Sandbox, client: Client) -> None:
    answered = fields(await browse(sandbox, authorize_url(sandbox, client, scope="identify everything")))
    assert answered["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "1"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, 400, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x", "redirect_uri": BACK}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "client_credentials"}, 400, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "everything"}, 400, "invalid_scope"),
    ],
)
async def test_token_request_is_refused_in_oauth2s_words(
    sandbox: Sandbox, client: Client, form: dict[str, str], status: int, error: str
) -> None:
    whole = {"client_id": client.id, "client_secret": client.secret} | form
    got, body = await token_call(sandbox, **whole)
    assert (got, body["error"]) == (status, error)


@pytest.mark.parametrize("path", ["", "/revoke"])
async def test_token_request_in_json_is_refused(sandbox: Sandbox, path: str) -> None:
    async with sandbox.http.post(f"{sandbox.url}/api/oauth2/token{path}", json={}) as response:
        assert (response.status, (await response.json())["code"]) == (400, 50035)


async def test_revoking_needs_the_client(sandbox: Sandbox, client: Client) -> None:
    token = await access_token(sandbox, client, "identify")
    assert (await token_call(sandbox, "/revoke", token=token))[0] == 401
    assert (await bearer(sandbox, "/users/@me", token))[0] == 200


async def test_bad_basic_authorization_is_an_invalid_client(sandbox: Sandbox) -> None:
    for header in ("Basic ?", "Basic YQ==", "Bearer YTpi", encode_basic_auth("1", "x")):
        body = await form_call(sandbox, "/token", "grant_type=client_credentials", {"Authorization": header})
        assert body == '{"error":"invalid_client"}'


async def test_scope_decides_what_a_token_shows(sandbox: Sandbox, client: Client) -> None:
    bare, full = [await access_token(sandbox, client, scope) for scope in ("identify", "identify email")]
    status, me = await bearer(sandbox, "/users/@me", bare)
    assert status == 200
    assert "email" not in me
    assert (await bearer(sandbox, "/users/@me", full))[1]["email"] == "sandbox-owner@example.com"
    assert (await bearer(sandbox, "/users/@me/guilds", bare))[0] == 401
    assert (await bearer(sandbox, "/gateway/bot", bare))[0] == 401
    connections = await access_token(sandbox, client, "connections")
    assert (await bearer(sandbox, "/users/@me", connections))[0] == 401
    status, about = await bearer(sandbox, "/oauth2/@me", connections)
    assert (status, about["scopes"], "user" in about) == (200, ["connections"], False)


async def test_bot_has_guilds_but_no_authorization(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    state = await sandbox.control("GET", f"/applications/{application_id}")
    status, guilds = await sandbox.rest("GET", "/users/@me/guilds", token)
    assert (status, [guild["id"] for guild in guilds]) == (200, [state["guild_id"]])
    assert (await sandbox.rest("GET", "/oauth2/@me", token))[0] == 401
    assert (await sandbox.rest("GET", f"/users/@me/guilds/{state['guild_id']}/member", token))[0] == 401


async def test_member_of_a_guild_is_shown_only_where_the_user_is(sandbox: Sandbox, client: Client) -> None:
    state = await sandbox.control("GET", f"/applications/{client.id}")
    token = await access_token(sandbox, client, "guilds.members.read")
    status, member = await bearer(sandbox, f"/users/@me/guilds/{state['guild_id']}/member", token)
    assert (status, member["user"]["username"]) == (200, "sandbox-owner")
    status, error = await bearer(sandbox, "/users/@me/guilds/1/member", token)
    assert (status, error["code"]) == (404, 10004)


async def test_guilds_come_in_pages(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    guild_id = int((await sandbox.control("GET", f"/applications/{application_id}"))["guild_id"])
    for query, found in (
        (f"after={guild_id}", 0),
        (f"after={guild_id - 1}", 1),
        (f"before={guild_id}", 0),
        (f"before={guild_id + 1}&limit=1", 1),
    ):
        assert len((await sandbox.rest("GET", f"/users/@me/guilds?{query}", token))[1]) == found
    for query in ("limit=201", "limit=0", "after=x"):
        status, error = await sandbox.rest("GET", f"/users/@me/guilds?{query}", token)
        assert (status, error["code"]) == (400, 50035)


@pytest.mark.parametrize(
    "path", ["/users/@me", "/users/@me/guilds?with_counts=true", "/users/@me/guilds/{guild_id}/member", "/oauth2/@me"]
)
async def test_answers_to_access_tokens_fit_the_description(
    sandbox: Sandbox,
    client: Client,
    path: str,
) -> None:
    state = await sandbox.control("GET", f"/applications/{client.id}")
    token = await access_token(sandbox, client, "identify email guilds guilds.members.read")
    status, _ = await bearer(sandbox, path.format(**state), token)
    assert status == 200, "and the tap holds the answer against the description"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/consents", {"application_id": "1", "allow": True}, 404, "unknown_application"),
        ("/consents", {"allow": True}, 422, "invalid_body"),
        ("/consents", {"application_id": "{id}", "allow": True, "scopes": ["all"]}, 422, "invalid_scope"),
        ("/consents", {"application_id": "{id}", "allow": True, "user": {"id": "x"}}, 422, "invalid_user"),
        ("/applications/{id}/oauth2", {"redirect_uris": ["back"]}, 422, "invalid_redirect_uri"),
        ("/applications/1/oauth2", {"redirect_uris": []}, 404, "unknown_application"),
    ],
)
async def test_bad_control_call_gets_a_clear_error(
    sandbox: Sandbox, client: Client, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    if body.get("application_id") == "{id}":
        body = body | {"application_id": client.id}
    got, error = await sandbox.call("POST", "/sandbox" + path.format(id=client.id), body)
    assert (got, error["error"]["code"]) == (status, code)


async def test_scripted_scopes_narrow_what_is_granted(sandbox: Sandbox, client: Client) -> None:
    consent = {"application_id": client.id, "allow": True, "scopes": ["identify"], "user": {"id": "77"}}
    scripted = await sandbox.control("POST", "/consents", consent)
    assert scripted == {"waiting": 1, "user": {"id": "77", "username": "user-77"}}
    code = fields(await browse(sandbox, authorize_url(sandbox, client, scope="identify guilds")))["code"]
    form = {"client_id": client.id, "client_secret": client.secret, "redirect_uri": BACK}
    _, tokens = await token_call(sandbox, grant_type="authorization_code", code=code, **form)
    assert tokens["scope"] == "identify"
    assert (await bearer(sandbox, "/users/@me", tokens["access_token"]))[1]["id"] == "77"
