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
LARGE_GUILD_MEMBERS: Final = 50  # documented: the default of large_threshold
MEMBERS_CHUNK: Final = 1_000  # documented: members per GUILD_MEMBERS_CHUNK
REPLAY_MAX_BYTES: Final = 48 << 20  # ours: bounds what all sessions together keep; the oldest event goes first
REPLAY_EVENT_BYTES: Final = 200  # measured: what keeping an event takes besides its body
OUTBOX_MAX_BYTES: Final = 8 << 20  # ours: a client that reads nothing is dropped; a whole replay must fit
SHARD_GUILDS_MAX: Final = 2_500  # documented: guilds a shard may serve, else 4011
MEMBERS_INTERVAL_S: Final = 30.0  # documented (change log): one request for all members per guild and bot
HALF_OPEN_LINGER_S: Final = 30.0  # ours: how long a half-open socket outlives a client's close frame

# Compression of gateway payloads. Small windows: a compressor takes 20 kB with zlib and 48 kB with zstd (measured with
# 1,000 of each), where the defaults take 190 kB and 880 kB. Our events repeat within 2 kB, so the ratio stays (0.40).
PAYLOAD_COMPRESS_MIN_BYTES: Final = 1_024  # ours: Discord says only that not all payloads are compressed
ZLIB_LEVEL: Final = 1
ZLIB_WINDOW_BITS: Final = 11
ZLIB_MEMORY_LEVEL: Final = 4
ZSTD_LEVEL: Final = 1
ZSTD_WINDOW_LOG: Final = 11
ZSTD_TABLE_LOG: Final = 9

# HTTP (documented: Topics, Rate Limits)
GLOBAL_REQUESTS_PER_S: Final = 50  # per bot; per IP address for requests without an Authorization header
INVALID_REQUESTS_MAX: Final = 10_000  # per IP address: 401, 403, and 429 unless its scope is "shared"
INVALID_REQUESTS_WINDOW_S: Final = 600.0
ADDRESS_BAN_S: Final = 3_600.0  # documented as "temporarily"; observed 1 h (its Retry-After) to 24 h
API_VERSIONS: Final = (9, 10)  # documented as available; both answer as v10, and so does a path without a version
REQUEST_MAX_BYTES: Final = 32 * 1024 * 1024  # ours: above what one message may attach, else 40005
TOKENS_KEPT: Final = 10_000  # ours: tokens whose signature need not be checked again

# OAuth2 (documented: Topics, OAuth2)
ACCESS_TOKEN_S: Final = 604_800  # documented: expires_in of every example
CODE_S: Final = 600.0  # ours, RFC 6749 4.1.2: at most ten minutes
AUTHORIZATIONS_KEPT: Final = 10_000  # ours: codes, and authorizations with their tokens; the oldest go first
CONSENTS_KEPT: Final = 100  # ours: scripted per application
REDIRECT_URIS_MAX: Final = 10  # ours
VERIFIER_LENGTHS: Final = (43, 128)  # RFC 7636 4.1

# Interactions (documented: Interactions, Receiving and Responding)
INITIAL_RESPONSE_S: Final = 3.0
FOLLOW_UP_S: Final = 900.0
CUSTOM_ID_MAX: Final = 100  # documented: Components, as all below
ACTION_ROWS_MAX: Final = 5
BUTTONS_IN_ROW_MAX: Final = 5
BUTTON_LABEL_MAX: Final = 80
BUTTON_URL_MAX: Final = 512
COMPONENT_EMOJI_NAME_MAX: Final = 32  # description
GALLERY_ITEMS_MAX: Final = 10
GROUP_OPTIONS_MAX: Final = 10  # of a radio or checkbox group
LABEL_DESCRIPTION_MAX: Final = 100
MEDIA_DESCRIPTION_MAX: Final = 1_024
SELECT_OPTIONS_MAX: Final = 25
SELECT_PLACEHOLDER_MAX: Final = 150
SELECT_OPTION_TEXT_MAX: Final = {"label": 100, "value": 100, "description": 100}
COMPONENTS_TOTAL_MAX: Final = 40
TEXT_DISPLAY_TOTAL_MAX: Final = 4_000
MODAL_TITLE_MAX: Final = 45
MODAL_COMPONENTS_MAX: Final = 5
TEXT_INPUT_MAX: Final = 4_000
TEXT_INPUT_LABEL_MAX: Final = 45
TEXT_INPUT_PLACEHOLDER_MAX: Final = 100
AUTOCOMPLETE_CHOICES_MAX: Final = 25
CHOICE_NAME_MAX: Final = 100
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
URL_MAX: Final = 2_048  # description
EMBED_MEDIA_DESCRIPTION_MAX: Final = 4_096  # description
EMBED_PLACEHOLDER_MAX: Final = 64  # description
STICKERS_MAX: Final = 3  # documented: stickers of a message
WAVEFORM_MAX: Final = 400  # description
MENTIONS_MAX: Final = 100
NONCE_MAX: Final = 25
NONCE_WINDOW_S: Final = 180.0  # documented only as "the past few minutes"
ATTACHMENTS_MAX: Final = 10  # documented: files of a message
ATTACHMENT_NAME_MAX: Final = 1_024  # description
ATTACHMENT_DESCRIPTION_MAX: Final = 1_024  # description
ATTACHMENTS_KEPT_BYTES: Final = 64 * 1024 * 1024  # ours: over all messages; the oldest files go first
REACTIONS_MAX: Final = 20  # documented: different emojis on a message, error 30010
REACTIONS_PAGE_MAX: Final = 100
BULK_DELETE_MAX: Final = 100  # documented: Bulk Delete Messages
BULK_DELETE_AGE_S: Final = 14 * 86_400.0
MESSAGES_KEPT: Final = 1_000  # ours: per channel
MESSAGES_KEPT_IN_ALL: Final = 10_000  # ours: over all channels
MESSAGES_SAVED: Final = 50  # ours: per channel, over an end of the sandbox; pinned ones besides
MESSAGES_PAGE_MAX: Final = 100
WEBHOOKS_MAX: Final = 15  # documented: per channel, error 30007
WEBHOOK_NAME_MAX: Final = 80
APPLIED_TAGS_MAX: Final = 5  # description

# Applications (description)
APPLICATION_DESCRIPTION_MAX: Final = 400
APPLICATION_TAG_MAX: Final = 20
APPLICATION_TAGS_MAX: Final = 5

# Guilds (documented: Resources, Guild)
MEMBERS_PAGE_MAX: Final = 1_000
CHANNEL_NAME_MAX: Final = 100
CHANNEL_TOPIC_MAX: Final = 1_024
GUILD_CHANNELS_MAX: Final = 500  # documented: error 30013
GUILD_ROLES_MAX: Final = 250  # documented: error 30005
ROLE_NAME_MAX: Final = 100  # description
OVERWRITES_MAX: Final = 100  # description: of one request
BITRATE_MIN: Final = 8_000
BITRATE_MAX: Final = 384_000  # documented: with every boost
VOICE_USERS_MAX: Final = 99
FORUM_TAG_NAME_MAX: Final = 50  # description
FORUM_TAGS_MAX: Final = 20
MEMBER_ROLES_MAX: Final = 350  # description: of one request
BIO_MAX: Final = 190  # description
USERNAME_MIN: Final = 2  # documented: Usernames and Nicknames
USERNAME_MAX: Final = 32
BAN_DELETE_MAX_S: Final = 604_800
BAN_DELETE_MAX_DAYS: Final = 7
GROUP_DM_MAX: Final = 10  # documented: people of a group DM
GUILD_NAME_MAX: Final = 100
PINS_MAX: Final = 250  # documented: error 30003
PINS_PAGE_MAX: Final = 50
SLOWMODE_MAX_S: Final = 21_600
NICK_MAX: Final = 32
TIMEOUT_MAX_S: Final = 28 * 86_400.0
GUILDS_PAGE_MAX: Final = 200  # documented: Get Current User Guilds, and its default

# Application commands (documented: Interactions, Application Commands; lengths in the description)
COMMAND_NAME_MAX: Final = 32
COMMAND_DESCRIPTION_MAX: Final = 100
COMMAND_SIZE_MAX: Final = 8_000  # documented: all names, descriptions and values of a command together
OPTION_LENGTH_MAX: Final = 6_000  # documented: the most a string option can hold
COMMANDS_TOTAL_MAX: Final = 130  # description: of one bulk overwrite
COMMAND_OPTIONS_MAX: Final = 25
COMMAND_CHOICES_MAX: Final = 25
COMMANDS_MAX: Final = {1: 100, 2: 15, 3: 15, 4: 1}  # by type: CHAT_INPUT, USER, MESSAGE, PRIMARY_ENTRY_POINT
COMMAND_CREATES_PER_DAY: Final = 200  # documented, per guild: error 30034

# The sandbox itself (ours)
FAR_AHEAD_S: Final = 10 * 365 * 86_400.0  # the furthest that the clock can be moved, and any time asked for
UNKNOWN_KEPT: Final = 200
FAILURES_KEPT: Final = 50  # errors of the sandbox itself, each with its stack
FAILURE_STACK_CHARACTERS: Final = 8_000
FAILURE_WHERE_CHARACTERS: Final = 400
APPLICATIONS_MAX: Final = 20_000  # what exists is bounded by refusing more; what was, by forgetting the oldest
USERS_MAX: Final = 500_000
GUILDS_MAX: Final = 50_000
MEMBERSHIPS_MAX: Final = 2_000_000
CHANNELS_MAX: Final = 200_000
PRIVATE_CHANNELS_KEPT: Final = 50_000
NAME_MAX: Final = 100  # of what the control API makes
NONCES_KEPT: Final = 20_000
PRIVATE_MESSAGES_KEPT: Final = 20_000  # ephemeral ones, over all interactions
INTERACTIONS_KEPT_BYTES: Final = 128 << 20  # of what was asked and answered
FOLLOW_UPS_KEPT: Final = 1_000  # of one interaction
MESSAGES_KEPT_BYTES: Final = 128 << 20  # of their JSON
FILES_KEPT: Final = 20_000
WINDOWS_KEPT: Final = 50_000  # rate-limit windows of each sort
ADDRESSES_KEPT: Final = 10_000
OCCASIONS_KEPT: Final = 20_000  # applications that one fault has met
STALL_S: Final = 120.0  # the longest that half an answer stands before it is cut
STALL_LOOK_S: Final = 0.05
FAULTS_MAX: Final = 1_000
FAULTS_KEPT: Final = 100  # faults that are over and still listed
INTERACTIONS_KEPT: Final = 10_000
LOADS_MAX: Final = 4  # at once
LOADS_KEPT: Final = 20
LOAD_COMMANDS_MAX: Final = 200_000  # of one load: each keeps the time of its answer


class Quota(NamedTuple):
    """A route's bucket: at most `limit` requests in `window_s` seconds."""

    limit: int
    window_s: float


QUOTA_DEFAULT: Final = Quota(50, 1.0)  # ours: the global limit bites first
QUOTAS: Final = {  # a path's parameters may have any name
    ("POST", "/channels/{channel_id}/messages"): Quota(5, 5.0),  # observed
    ("PATCH", "/channels/{channel_id}/messages/{message_id}"): Quota(5, 5.0),  # observed
    ("DELETE", "/channels/{channel_id}/messages/{message_id}"): Quota(5, 1.0),  # observed
    ("PUT", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"): Quota(1, 0.25),  # observed
    ("PATCH", "/channels/{channel_id}"): Quota(5, 15.0),  # observed
    ("POST", "/webhooks/{webhook_id}/{token}"): Quota(5, 2.0),  # observed
    ("PATCH", "/webhooks/{webhook_id}/{token}/messages/{message_id}"): Quota(5, 2.0),  # observed
    ("GET", "/gateway/bot"): Quota(5, 5.0),  # ours: Discord's is tight and undocumented
}
SHARED_BUCKETS: Final = {  # routes that spend another route's bucket, and name it
    ("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"): (  # observed
        "PUT",
        "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me",
    ),
}

# Limits of a resource, over all bots together, which no header announces
CHANNEL_RENAME: Final = Quota(2, 600.0)  # observed: changes of a channel's name or topic; scope "shared"
OLD_MESSAGE_AGE_S: Final = 3_600.0  # documented: error 30046
OLD_MESSAGE_EDIT: Final = Quota(3, 6.0)  # observed, per channel; Discord documents the error, not the number
CHANNEL_WRITE: Final = Quota(50, 5.0)  # ours: new messages of a channel; documented is only the error, 20028
