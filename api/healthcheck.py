"""``python -m api.healthcheck``: exit 0 where the service on this machine is healthy, else 1."""

import http.client
import os
import sys

from api.environment import port

_SECONDS = 2.5


def main() -> int:
    """Ask ``GET /``, which every load balancer asks too."""
    host = "::1" if ":" in os.environ.get("HOST", "") else "127.0.0.1"
    connection = http.client.HTTPConnection(host, port(), timeout=_SECONDS)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    raise SystemExit(main())
