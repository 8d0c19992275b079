"""The one error that devstack shows to a person."""


class Problem(Exception):
    """What a person can mend: the text says what and how. Printed without a traceback, exit code 1."""
