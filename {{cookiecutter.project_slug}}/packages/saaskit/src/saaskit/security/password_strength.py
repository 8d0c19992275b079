"""Estimate how easily a password is guessed, at a bounded cost."""

import re
from math import prod
from threading import Lock

MIN_SCORE = 3
MAX_LENGTH = 72
"""zxcvbn refuses longer passwords."""
MAX_READINGS = 8
"""zxcvbn tries every combination of letters that the password's signs can stand for. `4` or `@` for `a` are
two readings; `(` or `{` for `c` double them."""
_SUBSTITUTES = str.maketrans("@{[<!|$+", "4(((1157")
_zxcvbn_lock = Lock()  # zxcvbn keeps the user's words in a global


def check(password: str, user_words: list[str]) -> str | None:
    """Return why the password is too easy to guess for someone who knows `user_words`, or None."""
    from zxcvbn import zxcvbn  # loads 30,000 common passwords: 0.1 s

    words = [word for text in user_words for word in (text, *re.findall(r"\w+", text))]
    with _zxcvbn_lock:
        result = zxcvbn(_with_few_readings(password[:MAX_LENGTH]), user_inputs=words)
    if result["score"] >= MIN_SCORE:
        return None
    return result["feedback"]["warning"] or "it follows a pattern that guessing programs try early"


def _with_few_readings(password: str) -> str:
    """Use one sign per letter if there are many readings; zxcvbn would need seconds for all of them."""
    from zxcvbn.matching import L33T_TABLE

    readings = prod(max(1, sum(sign in password for sign in signs)) for signs in L33T_TABLE.values())
    return password.translate(_SUBSTITUTES) if readings > MAX_READINGS else password
