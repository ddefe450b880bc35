import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import protocol
from flotilla.protocol import (
    Beat,
    Failing,
    Fork,
    Forked,
    ForkFailed,
    FrameDecoder,
    GatewayAnswer,
    Hello,
    NotReady,
    ProtocolError,
    Ready,
    Reaped,
    Refused,
    Warm,
    Welcome,
    WorkerConfig,
    WorkerLimits,
    encode,
)

CONFIG = WorkerConfig("https://example.org/api/v10", ("a.b",), "INFO", WorkerLimits())
MESSAGES = [
    (protocol.from_worker, Hello(1, "bot", 3, b"secret", running=True, ready=False)),
    (protocol.from_worker, Ready()),
    (protocol.from_worker, NotReady()),
    (protocol.from_worker, Beat(None)),
    (protocol.from_worker, Failing("crashed", "why")),
    (protocol.to_worker, Welcome("token", CONFIG)),
    (protocol.to_worker, Refused("why")),
    (protocol.to_fork_server, Fork("bot", "name", 3, b"secret", "/control", "/log")),
    (protocol.from_fork_server, Warm(1.5)),
    (protocol.from_fork_server, Forked("bot", 3, 42, 1234)),
    (protocol.from_fork_server, ForkFailed("bot", 3, "EAGAIN")),
    (protocol.from_fork_server, Reaped(42, -9)),
]


@pytest.mark.parametrize(("decoder", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_every_message_survives_the_wire(decoder: object, message: object) -> None:
    (body,) = FrameDecoder().feed(encode(message))  # type: ignore[arg-type]
    assert decoder.decode(body) == message  # type: ignore[attr-defined]


@given(st.lists(st.integers(1, 7)), st.integers(1, 5))
def test_frames_come_out_whole_whatever_the_pieces(cuts: list[int], count: int) -> None:
    stream = encode(Failing("crashed", "x" * 20)) * count
    decoder, bodies, position = FrameDecoder(), [], 0
    for size in [*cuts, len(stream)]:
        bodies += list(decoder.feed(stream[position : position + size]))
        position += size
    assert [protocol.from_worker.decode(body) for body in bodies] == [Failing("crashed", "x" * 20)] * count


def test_a_frame_above_the_limit_ends_the_conversation() -> None:
    with pytest.raises(ProtocolError, match="above the limit"):
        list(FrameDecoder().feed(b"\xff\xff\xff\xff"))


class BeforeSecrets(msgspec.Struct, frozen=True, tag="Welcome", array_like=True):
    """Welcome as releases before secrets have it."""

    token: str | None
    config: WorkerConfig
    gateway: GatewayAnswer | None = None
    alone: int = 0
    alone_after_s: float = 12.0


def test_a_worker_and_a_supervisor_of_before_secrets_understand_each_other() -> None:
    (old,) = FrameDecoder().feed(encode(BeforeSecrets("token", CONFIG, None, 2, 3.0)))  # type: ignore[arg-type]
    assert protocol.to_worker.decode(old) == Welcome("token", CONFIG, None, 2, 3.0)
    (new,) = FrameDecoder().feed(encode(Welcome("token", CONFIG, None, 2, 3.0, {"SHOP_DB": "hunter2"})))
    assert msgspec.msgpack.decode(new, type=BeforeSecrets) == BeforeSecrets("token", CONFIG, None, 2, 3.0)


def test_a_welcome_shows_neither_token_nor_secrets() -> None:
    shown = repr(Welcome("the token", CONFIG, secrets={"SHOP_DB": "hunter2"}))
    assert "the token" not in shown
    assert "hunter2" not in shown
