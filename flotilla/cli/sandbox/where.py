"""Where the sandbox is. Never anywhere but on this machine: a control call must not reach Discord or a stranger."""

import ipaddress
from urllib.parse import urlsplit

from flotilla.cli.faults import CommandError
from flotilla.launch.ports import LOOPBACK, remembered_port
from flotilla.settings import Settings, load_settings

HOW_TO_START = (
    "Start one with `make demo`; or with `python -m sandbox --port 9900`, then set FLOTILLA_SANDBOX_KEY to the "
    "key that it prints, and give --url http://127.0.0.1:9900."
)


def sandbox_url(given: str | None) -> str:
    """Return the sandbox's origin: what `--url` gives, else FLOTILLA_DISCORD_URL, else that of this home's demo.

    Raises CommandError (`not_loopback`, `no_sandbox`).
    """
    if given is not None:
        return _origin(given)
    return _of_settings(load_settings())


def _of_settings(settings: Settings) -> str:
    if is_loopback(settings.discord_url):
        return _origin(settings.discord_url)
    port = remembered_port(settings)
    if port is None:
        raise CommandError(
            f"Nothing says where a sandbox is: FLOTILLA_DISCORD_URL does not lead to this machine, and no demo has run "
            f"in {settings.home}. {HOW_TO_START}",
            code="no_sandbox",
        )
    return f"http://{LOOPBACK}:{port}"


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(given: str) -> str:
    """Return scheme, host and port of a URL on this machine; a bare port or host:port will do."""
    url = f"{LOOPBACK}:{given}" if given.isdecimal() else given
    url = url if "://" in url else f"http://{url}"
    if not is_loopback(url):
        raise CommandError(
            f"{given} is not on this machine. The sandbox's control calls go to loopback addresses only, such as "
            "http://127.0.0.1:9900, and never to Discord.",
            code="not_loopback",
        )
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
