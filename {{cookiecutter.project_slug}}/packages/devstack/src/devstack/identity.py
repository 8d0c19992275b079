"""A local OpenID Connect provider for development: no passwords, anybody is who they say.

Listens where LOCAL_PROVIDER says; rests where that is not set.
"""

import os
import sys
import threading
from contextlib import suppress
from urllib.parse import urlsplit

PEOPLE = {"grace@example.com": "Grace Hopper", "linus@example.com": "Linus Pauling"}
"""Their addresses count as verified; those of other names that are typed in do not."""


def main() -> None:
    """Serve until SIGTERM."""
    url = os.environ.get("LOCAL_PROVIDER", "")
    if not url:
        sys.stdout.write("LOCAL_PROVIDER is not set: nobody signs in locally\n")
        threading.Event().wait()
    # Half a second to import, and only here: the package is in the group `dev`.
    from oidc_provider_mock import User, run_server_in_thread

    people = [
        User(sub=email, claims={"email": email, "email_verified": True, "name": name})
        for email, name in PEOPLE.items()
    ]
    with run_server_in_thread(urlsplit(url).port or 0, user_claims=people):
        sys.stdout.write(f"FOR DEVELOPMENT ONLY: sign in as {' or '.join(PEOPLE)}, without a password\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
