import pytest

from sandbox import limits
from sandbox.errors import DiscordError
from sandbox.messages.pins import Pins
from sandbox.messages.reactions import Reactions, emoji_of
from sandbox.world.users import User

ANN, BOB = User("1", "ann"), User("2", "bob")
THUMB, HEART = emoji_of("👍"), emoji_of("❤️")


@pytest.mark.parametrize("text", ["👍", "👍🏽", "❤️", "❤", "🇩🇪", "1️⃣", "#⃣", "👨‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏳️‍🌈", "™", "🫠"])
def test_emojis_of_unicode_are_known(text: str) -> None:
    assert emoji_of(text) == {"id": None, "name": text}


@pytest.mark.parametrize("text", ["", "a", "1", "👍👍", "party:5", ":thumbsup:", "\u200d", "👍\n", "🇩", "%F0"])
def test_what_is_no_emoji_is_10014(text: str) -> None:
    with pytest.raises(DiscordError) as caught:
        emoji_of(text)
    assert caught.value.fault.code == 10014


def test_reactions_are_seen_with_ones_own_marked() -> None:
    reactions = Reactions()
    assert reactions.add("9", THUMB, ANN)
    assert not reactions.add("9", THUMB, ANN)
    assert reactions.add("9", THUMB, BOB)
    assert reactions.add("9", HEART, BOB)
    seen = reactions.seen_by({"id": "9"}, "1")["reactions"]
    assert [(row["emoji"]["name"], row["count"], row["me"]) for row in seen] == [("👍", 2, True), ("❤️", 1, False)]
    assert reactions.users("9", THUMB, 5, 1) == [BOB]
    assert reactions.users("9", THUMB, 1, -1) == [ANN]
    message = {"id": "8"}
    assert reactions.seen_by(message, "1") is message


def test_reaction_that_nobody_has_any_more_is_gone() -> None:
    reactions = Reactions()
    reactions.add("9", THUMB, ANN)
    assert not reactions.remove("9", THUMB, BOB.id)
    assert reactions.remove("9", THUMB, ANN.id)
    with pytest.raises(DiscordError) as caught:
        reactions.remove("9", THUMB, ANN.id)
    assert caught.value.fault.code == 10014
    assert not reactions.clear("9")


def test_message_takes_twenty_different_emojis() -> None:
    reactions = Reactions()
    emojis = [emoji_of(chr(0x1F600 + number)) for number in range(limits.REACTIONS_MAX + 1)]
    for emoji in emojis[:-1]:
        reactions.add("9", emoji, ANN)
    with pytest.raises(DiscordError) as caught:
        reactions.add("9", emojis[-1], ANN)
    assert caught.value.fault.code == 30010
    assert reactions.add("9", emojis[0], BOB)


def test_channel_takes_a_bounded_number_of_pins() -> None:
    pins = Pins()
    for number in range(limits.PINS_MAX):
        assert pins.add("5", str(number), float(number))
    assert not pins.add("5", "0", 1e9)
    with pytest.raises(DiscordError) as caught:
        pins.add("5", "one too many", 0.0)
    assert caught.value.fault.code == 30003
    assert pins.of("5")[0] == (str(limits.PINS_MAX - 1), pins.last_at("5"))
    assert pins.remove("5", "0")
    assert not pins.remove("5", "0")
