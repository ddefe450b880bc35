"""Attachments: the files of a request, what Discord refuses in them, and the files kept. Pure."""

import mimetypes
import re
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sandbox import limits
from sandbox.errors import FieldFaults
from sandbox.shapes import INT32_MAX, Path, Shape, boolean, items, number, record, snowflake, text
from sandbox.snowflakes import Sequence

Attachment = dict[str, Any]
_UNSAFE = re.compile(r"[^\w.\-]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a multipart request: `key` is the number in its part's name, `files[key]`."""

    key: str
    filename: str
    content: bytes


SHAPE: Final[Shape] = items(
    record(
        {
            "id": snowflake,  # of a file that is there, or the number of one that comes with the request
            "filename": text(limits.ATTACHMENT_NAME_MAX, 1),
            "description": text(limits.ATTACHMENT_DESCRIPTION_MAX),
            "title": text(limits.ATTACHMENT_NAME_MAX),
            "duration_secs": number,
            "waveform": text(limits.WAVEFORM_MAX),
            "is_spoiler": boolean,
            "is_remix": boolean,
        },
        required=("id",),
    ),
    limits.ATTACHMENTS_MAX,
)


def check(
    rows: list[Attachment], uploads: list[Upload], attached: Collection[str], faults: FieldFaults, path: Path
) -> None:
    """Record what Discord would refuse in the files of a request and in the rows, of the right shape, about files.

    attached: the ids of files that are there already.
    """
    most = limits.ATTACHMENTS_MAX
    if len(uploads) > most:
        faults.add((*path, "files"), "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
    for upload in uploads:
        if len(upload.content) > limits.ATTACHMENT_SIZE_BYTES:
            message = f"File cannot be larger than {limits.ATTACHMENT_SIZE_BYTES} bytes"
            faults.add((*path, "files", upload.key), "BASE_TYPE_FILE_SIZE", message)
    known = {upload.key for upload in uploads}.union(attached)
    for index, row in enumerate(rows):
        if str(row["id"]) not in known:
            faults.add((*path, "attachments", index, "id"), "ATTACHMENT_NOT_FOUND", "Attachment data not found")
        seconds = row.get("duration_secs")
        if seconds is not None and not 0 <= seconds <= INT32_MAX:
            message = f"float value should be between 0 and {INT32_MAX}."
            faults.add((*path, "attachments", index, "duration_secs"), "NUMBER_TYPE_RANGE", message)


class Files:
    """The files of all messages, bounded in bytes: the oldest go first, and their links then answer 404."""

    def __init__(self, ids: Sequence) -> None:
        self._ids = ids
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._bytes = 0

    def keep(
        self, uploads: list[Upload], described: object, channel_id: str, base_url: str, now: float
    ) -> list[Attachment]:
        """Keep the files of a checked request and return their attachment objects.

        described: the body's `attachments`, whose `id` names a file by its number.
        base_url: where the files are to be had, without a slash at the end.
        """
        rows = described if isinstance(described, list) else []
        by_key = {str(row.get("id")): row for row in rows}
        return [self._keep(each, by_key.get(each.key, {}), channel_id, base_url, now) for each in uploads]

    def _keep(self, upload: Upload, row: Attachment, channel_id: str, base_url: str, now: float) -> Attachment:
        attachment_id = self._ids.next(now)
        filename = _UNSAFE.sub("_", row.get("filename") or upload.filename) or "unknown"
        self._kept[attachment_id] = upload
        self._bytes += len(upload.content)
        while len(self._kept) > 1 and (
            self._bytes > limits.ATTACHMENTS_KEPT_BYTES or len(self._kept) > limits.FILES_KEPT
        ):
            self._bytes -= len(self._kept.popitem(last=False)[1].content)
        url = f"{base_url}/attachments/{channel_id}/{attachment_id}/{filename}"
        attachment: Attachment = {
            "id": attachment_id,
            "filename": filename,
            "size": len(upload.content),
            "url": url,
            "proxy_url": url,
        }
        kind, _ = mimetypes.guess_type(filename)
        extra = {"content_type": kind, "description": row.get("description"), "title": row.get("title")}
        return attachment | {key: value for key, value in extra.items() if value is not None}

    def get(self, attachment_id: str) -> bytes | None:
        """Return a file's content, or None if it is not (or no longer) kept."""
        upload = self._kept.get(attachment_id)
        return None if upload is None else upload.content
