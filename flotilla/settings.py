"""Every setting, typed and frozen. Parsed once from the environment, with all faults reported together."""

import difflib
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flotilla.address import url_of
from flotilla.discord import API_URL, INVALID_REQUESTS_MAX
from flotilla.domain.config import BUILT_IN
from flotilla.domain.environment import names_of
from flotilla.domain.hosts import is_host_name
from flotilla.domain.policy import KNOBS, MEMORY_FLOOR_MB, Overrides, Policy, RestartPolicy
from flotilla.domain.requests import Rules
from flotilla.domain.rollover import Pace
from flotilla.domain.uptime import TARGET
from flotilla.errors import SetupError

MAX_SOCKET_PATH_BYTES = 107
"""Length of a Unix socket's path without its final NUL. Source: unix(7), sun_path of 108 bytes."""

LONGEST_SOCKET_NAME = "supervisord.sock.4194304"
"""supervisord binds its socket under a name that ends in its pid, and renames it. Source: pid_max of proc(5)."""

OF_THE_LAUNCHER = frozenset({"LOGS", "CONSOLE", "START_VALKEY", "START_SANDBOX", "SANDBOX_PORT"})
"""What `flotilla up` tells supervisord, whose programs inherit it; these are no settings."""

SERVICE_LINKS = re.compile(r"(.*_)?SERVICE_(HOST|PORT(_.*)?)|(.*_)?PORT_\d+_(TCP|UDP|SCTP)(_.*)?")
"""What Kubernetes sets in every pod for a service called flotilla. Source: its documentation, Accessing the Service."""


def _http_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named:
        raise ValueError("must name a host and may name a port, such as http://127.0.0.1:8800 or http://[::1]:8800")
    return url.rstrip("/")


def _module_names(value: object) -> object:
    names = tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    for name in names if isinstance(names, tuple) else ():
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is not a module path such as package.module")
    return names


def _paths(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = tuple(Path(part) for part in value.split(os.pathsep) if part)
    if not all(path.is_absolute() for path in found):
        raise ValueError("every path must be absolute")
    return found


def _ports(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths)]
Port = Annotated[int, Field(ge=1, le=65535)]
Ports = Annotated[tuple[Port, ...], NoDecode, BeforeValidator(_ports)]


def _host_names(value: object) -> object:
    names = (
        tuple(part.strip().lower() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )
    for name in names if isinstance(names, tuple) else ():
        if not is_host_name(name):
            raise ValueError("must be names of hosts, without scheme and port, separated by commas")
    return names


def _environment_names(value: object) -> object:
    return names_of(value) if isinstance(value, str) else value


EnvironmentNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_environment_names)]
ModuleNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_module_names)]
HostNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_host_names)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]


class Settings(BaseSettings):
    """The settings of all programs. A field `x` is read from the environment variable `FLOTILLA_X`."""

    model_config = SettingsConfigDict(env_prefix="FLOTILLA_", frozen=True, env_ignore_empty=True, extra="ignore")

    home: Path = Field(Path("var"), description="Folder for the database, keys, logs and sockets of one installation.")
    http_host: str = Field(
        "127.0.0.1", description="Address or name the API listens on; 0.0.0.0: all of IPv4, ::: all there are."
    )
    http_port: int = Field(8800, ge=1, le=65535, description="Port the API and the dashboard listen on.")
    http_hosts: HostNames = Field(
        (),
        description="Names under which the API is asked, separated by commas; besides FLOTILLA_HTTP_HOST, addresses "
        "and localhost.",
    )
    http_connections: int = Field(
        100, ge=4, le=10_000, description="Connections that one address may have open to the API at once."
    )
    http_header_s: float = Field(
        10.0, gt=0, le=300, description="Seconds within which a request that has begun must have sent its headers."
    )
    http_idle_s: float = Field(
        65.0, ge=1, le=3600, description="Seconds after which a connection without a request is closed."
    )
    database_url: SecretStr | None = Field(
        None, description="sqlite:///… or postgresql://…; default: flotilla.db in FLOTILLA_HOME."
    )
    redis_url: SecretStr | None = Field(
        None, description="redis://…, rediss://… or unix://…; default: a private Valkey started with the rest."
    )
    discord_url: HttpUrl = Field(API_URL, description="REST base of Discord's API v10; a sandbox's for offline work.")
    demo_bots: int = Field(5, ge=1, le=1000, description="How many bots `make demo` runs.")
    extensions: ModuleNames = Field(
        tuple(BUILT_IN.values()),
        description="Lightbulb extensions that every bot loads: module paths, separated by commas.",
    )
    extensions_path: Path | None = Field(
        None, description="Folder with extensions that are not installed; searched after what is."
    )
    bot_environment: EnvironmentNames = Field(
        (),
        description="Environment variables that bots' code may have besides PATH and its like: names, with commas.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or one JSON object each.")
    poll_interval_s: float = Field(
        1.0, gt=0, le=60, description="Seconds between the supervisor's looks at desired state; nudges come sooner."
    )
    restart_policy: RestartPolicy = Field(
        RestartPolicy.ALWAYS,
        description="Ends of a run that nobody asked for that are followed by a next one: always, on-failure, never.",
    )
    memory_limit_mb: int = Field(
        512, ge=MEMORY_FLOOR_MB, description="A worker above this many MiB (USS) is killed and restarted."
    )
    memory_soft_ratio: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of the memory limit above which a worker is restarted with its session kept.",
    )
    memory_soft_for_s: float = Field(
        5.0, gt=0, le=86_400, description="Seconds a worker may stay above its soft memory limit before that."
    )
    memory_forecast_s: float = Field(
        3600.0, gt=0, le=2_592_000, description="How many seconds ahead it is foretold that a worker reaches its limit."
    )
    memory_kernel_limit: Literal["auto", "cgroup", "rlimit", "off"] = Field(
        "auto",
        description="What holds a worker's memory where the probe is too late: cgroup v2 where delegated, else rlimit.",
    )
    bot_open_files: int = Field(4096, ge=64, description="Files and connections that a worker may have open at once.")
    bot_users: Literal["auto", "own", "shared"] = Field(
        "auto",
        description="Whether each bot has a user of its own: as root it has, unless this is shared. own: not without.",
    )
    bot_uid_base: int | None = Field(
        None,
        ge=1000,
        le=2_000_000_000,
        description="User id above which the bots' own begin; needs root. Default: between 1880000000 and 2120064000, "
        "by the home's path; 4000 in a container that has no such ids.",
    )
    bot_landlock: Literal["auto", "off"] = Field(
        "auto", description="Whether Landlock holds bots to their own files and ports, where the kernel has it."
    )
    bot_read_paths: Paths = Field(
        (), description="Files and folders besides code and system that all bots may read; separated by colons."
    )
    bot_write_paths: Paths = Field(
        (), description="Files and folders besides its own that every bot may change; separated by colons."
    )
    bot_listen_ports: Ports = Field((), description="TCP ports on which bots may listen; separated by commas.")
    bot_connect_ports: Ports = Field(
        (),
        description="TCP ports that bots may connect to, besides Discord's and 53; separated by commas. Default: any.",
    )
    bot_processes: int = Field(
        256, ge=16, description="Processes and threads of a bot that has a user id of its own, its worker included."
    )
    bot_file_mb: int = Field(
        1024, ge=64, le=1_000_000, description="MiB that a file of a bot may grow to; its database and cache are files."
    )
    memory_snapshot: bool = Field(
        True, description="Whether what a worker's memory is made of is written down with warnings of its memory."
    )
    startup_timeout_s: float = Field(60.0, gt=0, description="Seconds from spawn to READY before a worker is killed.")
    liveness_timeout_s: float = Field(
        8.0, ge=1, description="Seconds without a heartbeat of its event loop before a worker is killed."
    )
    stop_grace_s: float = Field(5.0, gt=0, description="Seconds between SIGTERM and SIGKILL when a worker stops.")
    stable_after_s: float = Field(
        60.0, gt=0, description="Seconds READY after which failures before do not count as in a row any more."
    )
    backoff_cap_s: float = Field(300.0, gt=0, description="Longest wait between two runs of a failing worker, seconds.")
    max_failures: int = Field(10, ge=1, description="Failed runs in a row after which a bot is FATAL.")
    intensity: int = Field(
        30, ge=1, le=1000, description="Failed runs within FLOTILLA_INTENSITY_PERIOD_S after which a bot is FATAL."
    )
    intensity_period_s: float = Field(3600.0, gt=0, description="Seconds that FLOTILLA_INTENSITY looks back.")
    delivery_probe: bool = Field(True, description="Whether a session that is acknowledged but silent is asked.")
    delivery_quiet_s: float = Field(30.0, gt=0, description="Seconds without any event before a session is asked.")
    delivery_answer_s: float = Field(10.0, gt=0, description="Seconds its answer may take before the session is deaf.")
    reconnect_timeout_s: float = Field(
        300.0, ge=1, le=86_400, description="Seconds a bot may be without its gateway session before a warm restart."
    )
    interaction_guard: bool = Field(
        True, description="Whether what a bot's code has not answered in time is answered for it, and its errors told."
    )
    interaction_defer_after_ms: float = Field(
        1800.0, ge=100, le=2500, description="Milliseconds after which an interaction is deferred; void at 3,000."
    )
    response_target_ms: float = Field(
        2000.0, gt=0, description="Milliseconds within which 95 % of a bot's first responses should come."
    )
    session_reserve: int = Field(
        50, ge=1, le=999, description="Session starts of a token's 1,000 a day that are left for starts by people."
    )
    invalid_requests_limit: int = Field(
        INVALID_REQUESTS_MAX,
        ge=10,
        le=INVALID_REQUESTS_MAX,
        description="Requests answered with 401, 403 or 429 that this host may make in 10 minutes: Discord bans its "
        "address at 10,000. Less, if others share the address.",
    )
    slow_requests_per_s: float = Field(
        5.0, gt=0, le=50, description="Requests a second that each bot may make while half of that is used up."
    )
    quarantine_s: float = Field(
        300.0,
        ge=1,
        le=3600,
        description="Seconds that the requests of a bot that makes the most of them are held back; the next time twice "
        "as long.",
    )
    identify_interval_s: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="Seconds between two session starts of a bot; Discord's own, less for a sandbox.",
    )
    alone_after_s: float = Field(
        12.0,
        ge=1,
        le=3600,
        description="Seconds without an answer of the supervisor after which a bot begins a session by itself, twice.",
    )
    bot_log_mb: int = Field(
        8, ge=1, le=100_000, description="MiB that the log of one bot may take, its older parts included."
    )
    command_logs_days: int = Field(
        30, ge=1, le=3650, description="Days for which it is kept what users did with the bots."
    )
    operations_days: int = Field(
        90, ge=1, le=3650, description="Days for which operations and roll-overs are kept after they have ended."
    )
    command_spool_mb: int = Field(
        64, ge=1, le=100_000, description="MiB of command logs that may wait on disk while the database is away."
    )
    metrics_interval_s: float = Field(
        15.0, ge=0.5, le=300, description="Seconds between two reports of what a bot has counted; they are kept live."
    )
    metrics_per_bot: int = Field(
        1000, ge=0, le=100_000, description="Bots up to which each has lines of its own at /metrics; 0: none has."
    )
    metrics_need_key: bool = Field(False, description="Whether /metrics asks for an API key, as all else does.")
    webhooks_allow_private: bool = Field(
        False, description="Whether operators' webhooks may lead into this network, and go without TLS."
    )
    webhooks_give_up_days: float = Field(
        3.0, ge=0.01, le=30, description="Days of failures after which a webhook is switched off."
    )
    uptime_target: float = Field(
        TARGET,
        gt=0,
        lt=1,
        description="Share of its time that a bot should be up; what is missing is its error budget.",
    )
    merge_memory: bool = Field(
        False, description="Let Linux (6.7+, as root) merge identical pages of workers; not for bots of strangers."
    )
    spawn_concurrency: int = Field(16, ge=1, le=256, description="Workers that may be STARTING at once.")
    preload_timeout_s: float = Field(
        60.0,
        gt=0,
        description="Seconds a fork server may take to import bots' code; each module gets a quarter of it.",
    )
    rollover_watch_s: float = Field(
        5.0, ge=0, le=3600, description="Seconds a bot is watched after its move to a new fork server."
    )
    rollover_max_unavailable: float = Field(
        0.1, gt=0, le=1, description="Share of the bots that may be in motion at once in a roll-over; one always may."
    )
    api_key: SecretStr | None = Field(None, description="Key with which the command line asks the API.")
    url: HttpUrl | None = Field(
        None, description="Where the command line finds the API; default: at its socket in FLOTILLA_HOME."
    )
    sandbox_key: SecretStr | None = Field(
        None, description="Key of a sandbox's control calls; default: that of the demo in FLOTILLA_HOME."
    )

    @property
    def run_dir(self) -> Path:
        """Sockets and lock files."""
        return self.home / "run"

    @property
    def log_dir(self) -> Path:
        """Logs of the programs; those of the bots in `bots` below it."""
        return self.home / "logs"

    @property
    def session_dir(self) -> Path:
        """Gateway sessions, which workers leave to their successors; a folder per bot."""
        return self.run_dir / "sessions"

    def session_file(self, bot_id: str) -> Path:
        """Where one bot's session lies, in a folder that is its worker's alone."""
        return self.session_dir / bot_id / "gateway.session"

    def bot_folder(self, bot_id: str) -> Path:
        """Where one bot's code may keep files of its own; it stays as long as the bot does."""
        return self.bots_dir / bot_id

    def temporary_folder(self, bot_id: str) -> Path:
        """Where one bot's code puts what it needs for a while.

        Not in the home, for programs make sockets there, whose paths are short.
        """
        name = hashlib.sha256(bytes(self.home.absolute()) + bot_id.encode()).hexdigest()[:12]
        return Path(os.environ.get("TMPDIR") or "/tmp") / f"flt-{name}"  # noqa: S108 - a bot that finds none goes without

    @property
    def bots_dir(self) -> Path:
        """Folders of bots' own, which each may enter that has a user of its own."""
        return self.home / "bots"

    @property
    def key_file(self) -> Path:
        """Keys that encrypt bot tokens."""
        return self.home / "secrets.key"

    @property
    def control_socket(self) -> Path:
        """Where workers meet their supervisor: alone in its folder, which bots with uids of their own may enter."""
        return self.run_dir / "workers" / "control.sock"  # `supervisor.zygote` looks for it, too

    @property
    def api_socket(self) -> Path:
        """Where the command line finds the API: a socket that is the owner's alone."""
        return self.run_dir / "api.sock"

    @property
    def uid_file(self) -> Path:
        """Which bot has which user id."""
        return self.home / "uids.json"

    @property
    def valkey_socket(self) -> Path:
        """The private Valkey's socket."""
        return self.run_dir / "valkey.sock"

    @property
    def supervisord_key_file(self) -> Path:
        """What supervisord asks for on its socket."""
        return self.home / "supervisord.key"

    @property
    def valkey_conf(self) -> Path:
        """The private Valkey's configuration, with its password."""
        return self.home / "valkey.conf"

    @property
    def effective_database_url(self) -> str:
        """The database's URL, with its password if it has one."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'flotilla.db'}"

    @property
    def effective_redis_url(self) -> str:
        """Redis' or Valkey's URL, with its password if it has one."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        try:
            password = self.valkey_conf.read_text().removeprefix("requirepass ").strip()
        except OSError:
            password = ""  # `flotilla up` makes one
        return f"unix://{self.valkey_socket}" + (f"?password={password}" if password else "")

    @property
    def effective_url(self) -> str:
        """Where clients that speak TCP find the API."""
        return self.url or url_of(self.http_host, self.http_port)

    @property
    def pace(self) -> Pace:
        """How fast a roll-over goes. A move takes a hand-over and a start."""
        return Pace(
            in_motion=self.spawn_concurrency,
            max_unavailable=self.rollover_max_unavailable,
            ready_within_s=self.stop_grace_s + self.startup_timeout_s,
            watch_s=self.rollover_watch_s,
        )

    @property
    def request_rules(self) -> Rules:
        """The budget of invalid requests of this host's address."""
        return Rules(self.invalid_requests_limit, self.quarantine_s)

    @property
    def policy(self) -> Policy:
        """The numbers every worker is held to, where a bot has none of its own."""
        return Overrides(**{name: getattr(self, name) for name in KNOBS}).on(Policy())


def _unknown(environment: Mapping[str, str]) -> list[str]:
    """Say of each variable that looks like a setting and is none what may be meant."""
    known = [name.upper() for name in Settings.model_fields]
    lines = []
    for variable, value in sorted(environment.items()):
        prefix, separator, name = variable.upper().partition("_")
        if prefix != "FLOTILLA" or not separator or name in known or name in OF_THE_LAUNCHER:
            continue
        if SERVICE_LINKS.fullmatch(name) or (name.endswith("PORT") and "://" in value):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"perhaps FLOTILLA_{near[0]} is meant" if near else "see docs/settings.md"
        lines.append(f"{variable}: there is no such setting; {hint}")
    return lines


def load_settings() -> Settings:
    """Return the settings in the environment, their folders made absolute.

    Raises SetupError (`settings_invalid`) that names every faulty or unknown variable and what it may be, never its
    value.
    """
    lines = []
    try:
        settings = Settings()
    except ValidationError as fault:
        lines = [f"FLOTILLA_{str(error['loc'][0]).upper()}: {error['msg']}" for error in fault.errors()]
    lines += _unknown(os.environ)
    if lines:
        raise SetupError("Settings are wrong. " + "; ".join(lines) + ".", code="settings_invalid")
    folders = {"home": settings.home, "extensions_path": settings.extensions_path}
    settings = settings.model_copy(update={name: path and path.absolute() for name, path in folders.items()})
    socket_path = bytes(settings.run_dir / LONGEST_SOCKET_NAME)
    if len(socket_path) > MAX_SOCKET_PATH_BYTES:
        raise SetupError(
            f"FLOTILLA_HOME is too long: its sockets' paths would have {len(socket_path)} bytes, and the system allows "
            f"{MAX_SOCKET_PATH_BYTES}. Choose a shorter folder.",
            code="home_too_long",
        )
    return settings
