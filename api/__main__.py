"""``python -m api``: run the service as its environment says."""

import argparse
import gc
import os
import sys


def main() -> None:
    """Run the service; exit 2 with one clear line where a setting is not allowed."""
    # A start makes next to no garbage, and to look for it all the same takes a twentieth of it.
    # On again in api.main, when everything is there.
    gc.disable()
    from api.environment import port, read_secrets
    from api.keys import read_keys
    from api.server import run
    from api.service_settings import ServiceSettings
    from carprice.errors import InputError

    parser = argparse.ArgumentParser(prog="python -m api", description=ServiceSettings.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("command", nargs="?", choices=["serve"], help="what containers are told")
    parser.add_argument("--host", default=os.environ.get("HOST", "0.0.0.0"))  # noqa: S104
    parser.add_argument("--port", type=int, help="default: PORT, or 8000")
    parser.add_argument("--root-path", help="default: CARPRICE_ROOT_PATH, or none")
    parser.add_argument("--workers", type=int, default=os.environ.get("WEB_CONCURRENCY", "1"))
    arguments = parser.parse_args()
    if arguments.workers > 1:
        gc.enable()  # the workers import api.main, this process does not
    if arguments.root_path is not None:
        os.environ["CARPRICE_ROOT_PATH"] = arguments.root_path
    try:
        read_secrets()
        read_keys(ServiceSettings.from_environment())
        listen = port() if arguments.port is None else arguments.port
        run("api.main:app", arguments.host, listen, arguments.workers)
    except InputError as error:
        sys.stderr.write(f"carprice: {error}\n")
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
