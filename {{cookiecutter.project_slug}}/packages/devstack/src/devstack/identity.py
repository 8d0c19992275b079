"""A local OpenID Connect provider for development: it signs in any user, without a password.

It listens at the URL in LOCAL_PROVIDER, and does nothing if that is not set.
"""

import os
import sys
import threading
import warnings
from contextlib import suppress
from urllib.parse import urlsplit

USERS = {"grace@example.com": "Grace Hopper", "linus@example.com": "Linus Pauling"}
"""Users whose e-mail addresses are verified. The provider also accepts other names, without an address."""


def main() -> None:
    """Serve until SIGTERM."""
    url = os.environ.get("LOCAL_PROVIDER", "")
    if not url:
        sys.stdout.write("LOCAL_PROVIDER is not set; the local identity provider is disabled\n")
        sys.stdout.flush()
        threading.Event().wait()
    # Imported only if needed: it takes half a second.
    from authlib.deprecate import AuthlibDeprecationWarning

    with warnings.catch_warnings():
        # The provider imports the deprecated `authlib.jose`, which no code here can change.
        warnings.simplefilter("ignore", AuthlibDeprecationWarning)
        from oidc_provider_mock import User, run_server_in_thread

    users = [
        User(sub=email, claims={"email": email, "email_verified": True, "name": name})
        for email, name in USERS.items()
    ]
    with run_server_in_thread(urlsplit(url).port or 0, user_claims=users):
        sys.stdout.write(f"FOR DEVELOPMENT ONLY: sign in as {' or '.join(USERS)}, without a password\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
