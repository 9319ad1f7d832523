"""The management verbs: one async function per message, typed request in, typed reply out, no transport in sight."""

__all__ = ()
