"""How soon a password would be guessed, found out at a bounded cost."""

import re
from math import prod
from threading import Lock

MIN_SCORE = 3
SCORED = 72
"""zxcvbn refuses longer ones."""
MOST = 8
"""Readings of a password's signs that are tried: `4` or `@` for `a` are two, `(` or `{` for `c` double it."""
_ALIKE = str.maketrans("@{[<!|$+", "4(((1157")
_one_at_a_time = Lock()  # zxcvbn keeps the words of whom it asks about in a global


def weakness(password: str, about: list[str]) -> str | None:
    """Why it is too easy to guess for who knows the texts `about`; None if it is not."""
    from zxcvbn import zxcvbn  # 30 000 common passwords: 0.1 s to import

    words = [word for text in about for word in (text, *re.findall(r"\w+", text))]
    with _one_at_a_time:
        rating = zxcvbn(_readable(password[:SCORED]), user_inputs=words)
    if rating["score"] >= MIN_SCORE:
        return None
    return rating["feedback"]["warning"] or "it follows a pattern that guessing programs try early"


def _readable(password: str) -> str:
    """With one sign for each letter where there are many: zxcvbn tries all combinations, for seconds."""
    from zxcvbn.matching import L33T_TABLE

    readings = prod(max(1, sum(sign in password for sign in signs)) for signs in L33T_TABLE.values())
    return password.translate(_ALIKE) if readings > MOST else password
