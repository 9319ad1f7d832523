"""Every limit of the platform: one name, one unit, one number, and the reason for the number.

A limit is enforced on both sides of the wire and tested one past it (``tests/unit/test_limits.py``).
"""

from __future__ import annotations

from typing import Final

__all__ = (
    "ATTEMPTS_WITHOUT_PROGRESS_MAX",
    "BRANCHES_NESTED_MAX",
    "CHECKPOINTS_PER_REQUEST_MAX",
    "CHECKPOINT_BYTES_MAX",
    "CHECKPOINT_KEY_BYTES_MAX",
    "CURSOR_CHARACTERS_MAX",
    "DATABASE_STATEMENT_S_MAX",
    "DIAGNOSTICS_MAX",
    "ERROR_BYTES_MAX",
    "EVENT_PAYLOAD_BYTES_MAX",
    "EXECUTION_TIMEOUT_S_MAX",
    "FRAME_BYTES_MAX",
    "GRAPHS_NESTED_MAX",
    "GREETING_BYTES_MAX",
    "GUEST_QUEUE_BYTES_MAX",
    "IMAGE_BYTES_MAX",
    "IMAGE_METADATA_BYTES_MAX",
    "INPUT_BYTES_MAX",
    "LOG_BYTES_MAX",
    "MANAGEMENT_REQUESTS_MAX",
    "MANAGEMENT_REQUESTS_PER_CONNECTION_MAX",
    "MANIFEST_BYTES_MAX",
    "NAME_CHARACTERS_MAX",
    "OUTPUT_BYTES_MAX",
    "PAGE_ROWS_DEFAULT",
    "PAGE_ROWS_MAX",
    "PENDING_INSTANCES_MAX",
    "PREFETCH_BYTES_MAX",
    "REQUESTS_IN_FLIGHT_MAX",
    "REQUEST_BYTES_IN_FLIGHT_MAX",
    "RETRY_DELAY_MS_MAX",
    "SCENARIO_BYTES_MAX",
    "SCENARIO_EDGES_MAX",
    "SCENARIO_NESTING_MAX",
    "SCENARIO_STEPS_MAX",
    "SCRIPT_BYTES_MAX",
    "SIGNAL_PAYLOAD_BYTES_MAX",
    "START_ENV_BYTES_MAX",
    "STEP_EVENT_VALUE_BYTES_MAX",
    "STOP_GRACE_S_MAX",
    "TEMPLATE_CHARACTERS_MAX",
    "TEMPLATE_OUTPUT_CHARACTERS_MAX",
    "TEMPLATE_WORK_MAX",
    "TEXT_CHARACTERS_MAX",
    "UNSENT_BYTES_MAX",
    "UPLOADS_MAX",
    "UPLOADS_PER_CONNECTION_MAX",
    "UPLOAD_CHUNK_BYTES_MAX",
    "WATCHES_PER_CONNECTION_MAX",
    "WRITER_BATCH_BYTES_MAX",
    "WRITER_BATCH_MAX",
    "WRITER_QUEUE_BYTES_MAX",
    "WRITER_QUEUE_MAX",
)

KIB: Final = 1024
MIB: Final = 1024 * KIB

# The reference's frame limit, kept because products rely on it.
FRAME_BYTES_MAX: Final = 64 * MIB
# Before it was let in, a peer may make us hold this much.
GREETING_BYTES_MAX: Final = 64 * KIB
# What waits for a peer that does not read; beyond it the connection ends.
UNSENT_BYTES_MAX: Final = 256 * MIB
# What fits into one frame together with its envelope.
CHECKPOINT_BYTES_MAX: Final = 16 * MIB
# More would be one writer's batch by itself.
CHECKPOINTS_PER_REQUEST_MAX: Final = 1000
INPUT_BYTES_MAX: Final = 16 * MIB
OUTPUT_BYTES_MAX: Final = 16 * MIB
SIGNAL_PAYLOAD_BYTES_MAX: Final = 1 * MIB
EVENT_PAYLOAD_BYTES_MAX: Final = 1 * MIB
ERROR_BYTES_MAX: Final = 64 * KIB

# A B-tree entry of PostgreSQL takes at most 2,704 bytes.
CHECKPOINT_KEY_BYTES_MAX: Final = 1024
NAME_CHARACTERS_MAX: Final = 128

IMAGE_BYTES_MAX: Final = 512 * MIB
# A plain Python file as an image; whatever is larger comes as a zipapp.
SCRIPT_BYTES_MAX: Final = 4 * MIB
# Of one server at a time: each holds a temporary file.
UPLOADS_MAX: Final = 64
UPLOAD_CHUNK_BYTES_MAX: Final = 1 * MIB

# Checkpoints that one launch record or one prefetch reply carries; the rest is asked for page by page.
PREFETCH_BYTES_MAX: Final = 8 * MIB

PAGE_ROWS_DEFAULT: Final = 100
PAGE_ROWS_MAX: Final = 1000

# Requests of one connection that wait for an answer, and writes of one server that wait for a commit.
REQUESTS_IN_FLIGHT_MAX: Final = 1024
REQUEST_BYTES_IN_FLIGHT_MAX: Final = 128 * MIB
# What a program has sent and the server has not acknowledged; it waits at its next call long before.
GUEST_QUEUE_BYTES_MAX: Final = 64 * MIB
WRITER_QUEUE_MAX: Final = 20_000
WRITER_QUEUE_BYTES_MAX: Final = 256 * MIB
# What one transaction writes; PostgreSQL takes at most 1 GiB in one message.
WRITER_BATCH_MAX: Final = 1000
WRITER_BATCH_BYTES_MAX: Final = 64 * MIB

# No statement of ours takes longer, nor waits longer for a lock, nor leaves a transaction idle for longer.
DATABASE_STATEMENT_S_MAX: Final = 10

# Instances of one tenant that may wait for their launch (sleeping ones do not count).
PENDING_INSTANCES_MAX: Final = 100_000

# Crashes in a row without a new checkpoint before an instance is failed.
ATTEMPTS_WITHOUT_PROGRESS_MAX: Final = 5

# A scenario is written by people and drawn on a screen; these are far beyond what anybody can read.
SCENARIO_BYTES_MAX: Final = 4 * MIB
SCENARIO_STEPS_MAX: Final = 1000
SCENARIO_EDGES_MAX: Final = 10_000
SCENARIO_NESTING_MAX: Final = 64
# Loops and children inside each other: each takes some frames of Python's stack when it runs.
GRAPHS_NESTED_MAX: Final = 32
# Errors of one document; nobody reads more, and each is compared with all names that may have been meant.
DIAGNOSTICS_MAX: Final = 1000
# Python refuses more than 100 levels of indentation.
BRANCHES_NESTED_MAX: Final = 64

# Of the inputs and of the outputs in an event of a step.
STEP_EVENT_VALUE_BYTES_MAX: Final = 10 * KIB

# Mail programs cut letters at 100 KiB, layout and all; to compile this much takes seconds at worst.
TEMPLATE_CHARACTERS_MAX: Final = 128 * KIB
# A letter or a small document; what is larger is not put together by a template.
TEMPLATE_OUTPUT_CHARACTERS_MAX: Final = 1 * MIB
# Units of the template budget: about half a second, some seconds at worst.
TEMPLATE_WORK_MAX: Final = 2_000_000

# What a manifest of an artifact may take; it is read before anything is known about the artifact.
MANIFEST_BYTES_MAX: Final = 256 * KIB

# The backoff of a step doubles up to here (or to the step's own first delay, when that is longer).
RETRY_DELAY_MS_MAX: Final = 60_000

# What a start may add to a program's environment, names and values together: Linux gives a process 128 KiB per string.
START_ENV_BYTES_MAX: Final = 64 * KIB
EXECUTION_TIMEOUT_S_MAX: Final = 365 * 86_400
STOP_GRACE_S_MAX: Final = 3600
IMAGE_METADATA_BYTES_MAX: Final = 256 * KIB
# Descriptions, notes and reasons: a paragraph.
TEXT_CHARACTERS_MAX: Final = 1024
CURSOR_CHARACTERS_MAX: Final = 512
LOG_BYTES_MAX: Final = 1 * MIB

# Of one management connection, and of all of a server: whoever wants more is told to come back.
MANAGEMENT_REQUESTS_PER_CONNECTION_MAX: Final = 128
MANAGEMENT_REQUESTS_MAX: Final = 2048
WATCHES_PER_CONNECTION_MAX: Final = 10_000
UPLOADS_PER_CONNECTION_MAX: Final = 4
