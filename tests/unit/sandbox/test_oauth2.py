import base64
import hashlib
from itertools import count

import pytest

from sandbox import limits
from sandbox.oauth2.authorize import Asked, read, read_scopes, redirect_uri_of, redirect_url
from sandbox.oauth2.clients import Clients
from sandbox.oauth2.consents import Consent, Consents
from sandbox.oauth2.errors import OAuth2Error
from sandbox.oauth2.grants import Grants
from sandbox.tokens import Mint
from sandbox.world.users import User

NOW = 1_800_000_000.0
HOME = "http://127.0.0.1/back"
EVE, BOB = User("7", "eve"), User("8", "bob")
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
QUERY = {"response_type": "code", "scope": "identify guilds", "state": "s"}


def asked(challenge: str | None = None) -> Asked:
    return Asked(
        application_id="1",
        implicit=False,
        redirect_uri=HOME,
        scopes=("identify",),
        state="s",
        prompt="consent",
        challenge=challenge,
    )


@pytest.fixture
def grants() -> Grants:
    numbers = count(1)
    return Grants(lambda: f"token-{next(numbers)}")


def test_code_is_exchanged_for_tokens_that_stand_for_the_user(grants: Grants) -> None:
    code = grants.code(asked(), EVE, ("identify",), NOW)
    tokens = grants.exchange("1", code, HOME, None, NOW + 1)
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 604_800, "identify")
    live = grants.find(tokens["access_token"], NOW + 1)
    assert live is not None
    assert (live.application_id, live.user, live.scopes) == ("1", EVE, ("identify",))


def test_code_is_good_for_one_exchange(grants: Grants) -> None:
    code = grants.code(asked(), EVE, ("identify",), NOW)
    grants.exchange("1", code, HOME, None, NOW)
    with pytest.raises(OAuth2Error, match='Invalid "code"') as refused:
        grants.exchange("1", code, HOME, None, NOW)
    assert refused.value.fields() == {
        "error": "invalid_grant",
        "error_description": 'Invalid "code" in request.',
    }


@pytest.mark.parametrize(
    ("application_id", "redirect_uri", "verifier", "after_s", "name"),
    [
        ("2", HOME, VERIFIER, 0, "code"),
        ("1", HOME, VERIFIER, limits.CODE_S, "code"),
        ("1", HOME + "/", VERIFIER, 0, "redirect_uri"),
        ("1", None, VERIFIER, 0, "redirect_uri"),
        ("1", HOME, None, 0, "code_verifier"),
        ("1", HOME, "w" * 43, 0, "code_verifier"),
        ("1", HOME, "v", 0, "code_verifier"),
    ],
)
def test_code_is_refused_when_anything_about_it_is_wrong(
    grants: Grants, application_id: str, redirect_uri: str | None, verifier: str | None, after_s: float, name: str
) -> None:
    code = grants.code(asked(CHALLENGE), EVE, ("identify",), NOW)
    with pytest.raises(OAuth2Error, match=f'"{name}" in request'):
        grants.exchange(application_id, code, redirect_uri, verifier, NOW + after_s)


def test_right_verifier_opens_a_code_with_a_challenge(grants: Grants) -> None:
    code = grants.code(asked(CHALLENGE), EVE, ("identify",), NOW)
    assert grants.exchange("1", code, HOME, VERIFIER, NOW)["access_token"]


def test_refreshing_ends_the_tokens_before(grants: Grants) -> None:
    first = grants.exchange("1", grants.code(asked(), EVE, ("identify",), NOW), HOME, None, NOW)
    second = grants.refresh("1", first["refresh_token"], NOW + limits.ACCESS_TOKEN_S + 5)
    assert grants.find(first["access_token"], NOW) is None
    assert grants.find(second["access_token"], NOW + limits.ACCESS_TOKEN_S + 5) is not None
    for application_id, token in (("1", first["refresh_token"]), ("2", second["refresh_token"])):
        with pytest.raises(OAuth2Error, match="refresh_token"):
            grants.refresh(application_id, token, NOW)


def test_access_token_ends_after_seven_days(grants: Grants) -> None:
    tokens = grants.direct("1", EVE, ("identify",), NOW)
    assert "refresh_token" not in tokens
    assert grants.find(tokens["access_token"], NOW + 604_799) is not None
    assert grants.find(tokens["access_token"], NOW + 604_800) is None
    grants.prune(NOW + 604_800)
    assert not grants._access


def test_revoking_one_token_ends_all_of_the_user_with_the_application(grants: Grants) -> None:
    first, second, bobs = [
        grants.exchange("1", grants.code(asked(), user, ("identify",), NOW), HOME, None, NOW)
        for user in (EVE, EVE, BOB)
    ]
    grants.revoke("2", first["access_token"])
    grants.revoke("1", "never issued")
    assert grants.find(first["access_token"], NOW) is not None
    grants.revoke("1", first["refresh_token"])
    assert grants.find(first["access_token"], NOW) is None
    assert grants.find(second["access_token"], NOW) is None
    assert grants.find(bobs["access_token"], NOW) is not None
    assert not grants.has_granted("1", EVE, ("identify",))
    assert grants.has_granted("1", BOB, ("identify",))
    assert not grants.has_granted("1", BOB, ("identify", "guilds"))


def test_tokens_are_bounded_and_the_oldest_goes_first(grants: Grants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUTHORIZATIONS_KEPT", 2)
    tokens = [grants.direct("1", EVE, ("identify",), NOW)["access_token"] for _ in range(3)]
    assert [grants.find(token, NOW) is not None for token in tokens] == [False, True, True]


def test_codes_are_pruned_when_they_have_expired(grants: Grants) -> None:
    grants.code(asked(), EVE, ("identify",), NOW)
    grants.prune(NOW + limits.CODE_S)
    assert not grants._codes


def test_request_is_read_from_its_query() -> None:
    read_one = read(QUERY | {"code_challenge": "c", "code_challenge_method": "S256"}, "1", HOME)
    assert (read_one.scopes, read_one.state, read_one.challenge) == (("identify", "guilds"), "s", "c")
    assert not read_one.implicit


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "identify everything"}, "invalid_scope"),
        ({"scope": "applications.commands.update"}, "invalid_scope"),
        ({"code_challenge": "c"}, "invalid_request"),
        ({"code_challenge": "c", "code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_request_that_is_wrong_is_refused(change: dict[str, str], error: str) -> None:
    with pytest.raises(OAuth2Error) as refused:
        read(QUERY | change, "1", HOME)
    assert refused.value.error == error


def test_scopes_keep_their_order_and_appear_once() -> None:
    assert read_scopes("guilds identify guilds") == ("guilds", "identify")


def test_redirect_uri_must_be_registered_and_the_first_is_the_default() -> None:
    assert redirect_uri_of({}, (HOME, "http://other")) == HOME
    assert redirect_uri_of({"redirect_uri": "http://other"}, (HOME, "http://other")) == "http://other"
    for query, registered in (({}, ()), ({"redirect_uri": HOME + "/"}, (HOME,))):
        with pytest.raises(ValueError, match="Invalid OAuth2 redirect_uri"):
            redirect_uri_of(query, registered)


def test_answer_joins_the_redirect_uris_own_query() -> None:
    assert redirect_url(HOME + "?a=1", "s t", {"code": "c&d"}) == HOME + "?a=1&code=c%26d&state=s+t"
    assert redirect_url(HOME, None, {"access_token": "t"}, in_fragment=True) == HOME + "#access_token=t"


def test_client_secret_is_the_same_each_time_and_of_one_application() -> None:
    clients = Clients(Mint(b"a secret of the tests"))
    secret = clients.secret_of("1")
    assert len(secret) == 32
    assert clients.authenticates("1", secret)
    assert not clients.authenticates("2", secret)
    assert not clients.authenticates("1", "\xff")


@pytest.mark.parametrize("uris", [["/back"], ["http://host/#part"], ["not a uri"], ["http://host"] * 11])
def test_redirect_uris_are_checked_when_they_are_registered(uris: list[str]) -> None:
    clients = Clients(Mint(b"a secret of the tests"))
    with pytest.raises(ValueError, match=r"redirect URIs|absolute URI"):
        clients.set_redirect_uris("1", uris)
    assert clients.redirect_uris("1") == ()


def test_scripted_consents_answer_in_order_once_each() -> None:
    consents = Consents()
    consents.script("1", Consent(EVE, allow=True))
    assert consents.script("1", Consent(BOB, allow=False)) == 2
    answers = [consents.next(application_id) for application_id in ("2", "1", "1", "1")]
    assert [answer and answer.user for answer in answers] == [None, EVE, BOB, None]


def test_user_grants_no_more_than_was_asked() -> None:
    consent = Consent(EVE, allow=True, scopes=("identify", "email"))
    assert consent.granted(("guilds", "identify")) == ("identify",)
