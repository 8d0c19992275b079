"""Exit with 0 if the API on this machine responds: `python -m saaskit.healthcheck /api/health`.

For container health checks. PORT and ALLOWED_HOSTS are read from the environment.
"""

import http.client
import os
import sys

__all__ = ["main"]


def main(path: str) -> None:
    """Request the path with a host name that the API accepts; raises SystemExit for any status but 200."""
    host = os.environ.get("ALLOWED_HOSTS", "*").split(",")[0].strip().replace("*", "healthcheck")
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=2)
    connection.request("GET", path, headers={"Host": host})
    if (status := connection.getresponse().status) != 200:
        raise SystemExit(f"{path} responded with {status}")


if __name__ == "__main__":
    main(sys.argv[1])
