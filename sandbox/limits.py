"""Every number the sandbox enforces, with its source.

"documented" means Discord's developer documentation; "description" means Discord's official OpenAPI description (v10);
"observed" means that Discord sends the number in headers but documents none; "ours" means that Discord documents none.
"""

from typing import Final, NamedTuple

API_VERSION: Final = 10

# Gateway (documented: Topics, Gateway)
HEARTBEAT_INTERVAL_MS: Final = 41_250  # documented example, and what Discord sends
ZOMBIE_INTERVALS: Final = 1.5  # ours: beats may jitter, two missed ones may not
PAYLOAD_MAX_BYTES: Final = 4_096  # documented: a larger payload closes with 4002
SEND_MAX: Final = 120  # documented: payloads per connection and SEND_WINDOW_S, else 4008
SEND_WINDOW_S: Final = 60.0
SESSION_STARTS_MAX: Final = 1_000  # documented: IDENTIFYs per SESSION_STARTS_WINDOW_S and application
SESSION_STARTS_WINDOW_S: Final = 86_400.0
MAX_CONCURRENCY: Final = 1  # documented: session_start_limit.max_concurrency of an ordinary application
IDENTIFY_INTERVAL_S: Final = 5.0  # documented: max_concurrency IDENTIFYs per 5 s
RESUME_WINDOW_S: Final = 180.0  # documented only as "a few minutes"
REPLAY_MAX_EVENTS: Final = 1_000  # ours: bounds the memory of a session nobody resumes
OUTBOX_MAX_EFFECTS: Final = 4_000  # ours: a client that reads nothing is dropped

# HTTP (documented: Topics, Rate Limits)
GLOBAL_REQUESTS_PER_S: Final = 50

# Interactions (documented: Interactions, Receiving and Responding)
INITIAL_RESPONSE_S: Final = 3.0
FOLLOW_UP_S: Final = 900.0
ATTACHMENT_SIZE_BYTES: Final = 10 * 1024 * 1024  # documented: attachment_size_limit without boosts

# Messages (documented: Resources, Message)
CONTENT_MAX: Final = 2_000
EMBEDS_MAX: Final = 10
EMBEDS_TOTAL_MAX: Final = 6_000
EMBED_FIELDS_MAX: Final = 25
EMBED_TEXT_MAX: Final = {"title": 256, "description": 4_096}
EMBED_FIELD_TEXT_MAX: Final = {"name": 256, "value": 1_024}
EMBED_FOOTER_MAX: Final = 2_048
EMBED_AUTHOR_MAX: Final = 256
COMPONENTS_MAX: Final = 40  # description
NONCE_MAX: Final = 25
NONCE_WINDOW_S: Final = 180.0  # documented only as "the past few minutes"
MESSAGES_KEPT: Final = 1_000  # ours: per channel
MESSAGES_PAGE_MAX: Final = 100

# Application commands (documented: Interactions, Application Commands; lengths in the description)
COMMAND_NAME_MAX: Final = 32
COMMAND_DESCRIPTION_MAX: Final = 100
COMMAND_OPTIONS_MAX: Final = 25
COMMAND_CHOICES_MAX: Final = 25
COMMANDS_MAX: Final = {1: 100, 2: 15, 3: 15}  # by type: CHAT_INPUT, USER, MESSAGE
COMMAND_CREATES_PER_DAY: Final = 200  # documented, per guild: error 30034

# The sandbox itself (ours)
UNKNOWN_KEPT: Final = 200
INTERACTIONS_KEPT: Final = 10_000


class Quota(NamedTuple):
    """A route's bucket: at most `limit` requests in `window_s` seconds."""

    limit: int
    window_s: float


QUOTA_DEFAULT: Final = Quota(50, 1.0)  # ours: the global limit bites first
QUOTAS: Final = {
    ("POST", "/channels/{channel_id}/messages"): Quota(5, 5.0),  # observed
    ("PATCH", "/channels/{channel_id}/messages/{message_id}"): Quota(5, 5.0),  # observed
    ("DELETE", "/channels/{channel_id}/messages/{message_id}"): Quota(5, 1.0),  # observed
    ("POST", "/webhooks/{application_id}/{token}"): Quota(5, 2.0),  # observed
    ("PATCH", "/webhooks/{application_id}/{token}/messages/{message_id}"): Quota(5, 2.0),  # observed
    ("GET", "/gateway/bot"): Quota(5, 5.0),  # ours: Discord's is tight and undocumented
}
