import base64

import pytest

from flotilla.discord import application_id_of
from flotilla.errors import FixInputError


def token_of(application_id: str) -> str:
    return base64.urlsafe_b64encode(application_id.encode()).decode().rstrip("=") + ".Gabcde." + "s" * 38


def test_the_application_is_read_from_the_token() -> None:
    assert application_id_of(token_of("123456789012345678")) == "123456789012345678"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "not a token",
        "Bot " + token_of("123456789012345678"),
        token_of("123456789012345678") + "\n",
        token_of("abcdefghijklmnopqr"),
        "MTIz" * 6 + ".short.x",
        "\x00" * 70,
        "é" * 70,
        "a" * 100_000,
    ],
)
def test_anything_else_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(FixInputError) as caught:
        application_id_of(token)
    assert caught.value.code == "token_malformed"
    assert not token or token not in str(caught.value)
