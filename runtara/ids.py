"""Names that come from outside, checked once at the border and typed ever after."""

from __future__ import annotations

import re
import uuid
from typing import NewType

from runtara.errors import InvalidRequest, LimitExceeded
from runtara.limits import CHECKPOINT_KEY_BYTES_MAX, NAME_CHARACTERS_MAX

__all__ = (
    "CheckpointKey",
    "ImageId",
    "InstanceId",
    "InstanceNo",
    "TenantId",
    "new_id",
    "parse_checkpoint_key",
    "parse_image_id",
    "parse_instance_id",
    "parse_name",
    "parse_tenant_id",
)

TenantId = NewType("TenantId", str)
InstanceId = NewType("InstanceId", str)
ImageId = NewType("ImageId", str)
CheckpointKey = NewType("CheckpointKey", str)

InstanceNo = NewType("InstanceNo", int)
"""The database's own number of an instance: small in every index, and never shown to a user."""

_NAME = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9_.:-]*\Z")


def parse_name(value: str, *, what: str) -> str:
    """The value itself, if it is a name: letters, digits, ``_ . : -``, no leading dot, 1 to 128 characters.

    Raises:
        InvalidRequest: it is empty or has another character; it would be unsafe in a path or a log line.
        LimitExceeded: it is too long.
    """
    if len(value) > NAME_CHARACTERS_MAX:
        raise LimitExceeded(
            f"the {what} is longer than {NAME_CHARACTERS_MAX} characters",
            limit=f"{what}_characters",
            unit="characters",
            maximum=NAME_CHARACTERS_MAX,
            actual=len(value),
        )
    if _NAME.match(value) is None:
        raise InvalidRequest(
            f"{value!r} is not a {what}",
            hint="Use letters, digits and _ . : - only, and no dot in front.",
            field=what,
        )
    return value


def parse_tenant_id(value: str) -> TenantId:
    """See ``parse_name``."""
    return TenantId(parse_name(value, what="tenant_id"))


def parse_instance_id(value: str) -> InstanceId:
    """See ``parse_name``."""
    return InstanceId(parse_name(value, what="instance_id"))


def parse_image_id(value: str) -> ImageId:
    """See ``parse_name``."""
    return ImageId(parse_name(value, what="image_id"))


def parse_checkpoint_key(value: str) -> CheckpointKey:
    """The value itself, if it can be a checkpoint key: 1 to 1024 bytes of UTF-8 without NUL.

    Raises:
        InvalidRequest: it is empty or has a NUL (PostgreSQL's text cannot hold it).
        LimitExceeded: it is too long.
    """
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > CHECKPOINT_KEY_BYTES_MAX:
        raise LimitExceeded(
            f"the checkpoint key is longer than {CHECKPOINT_KEY_BYTES_MAX} bytes",
            limit="checkpoint_key_bytes",
            unit="bytes",
            maximum=CHECKPOINT_KEY_BYTES_MAX,
            actual=size,
        )
    if not value or "\0" in value or (not value.isprintable() and any(0xD800 <= ord(c) <= 0xDFFF for c in value)):
        raise InvalidRequest(f"{value[:40]!r} is not a checkpoint key", field="checkpoint_key")
    return CheckpointKey(value)


def new_id() -> str:
    """A fresh random id for anything (a version 4 UUID)."""
    return str(uuid.uuid4())
