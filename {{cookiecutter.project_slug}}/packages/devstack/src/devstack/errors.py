"""The error that devstack reports to its user."""


class DevstackError(Exception):
    """A problem that the user can fix. The message says how; `dev` prints it without a traceback."""
