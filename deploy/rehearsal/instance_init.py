"""Process 1 of an instance: gives it a root of its own, then waits and reaps.

Runs in new mount, process and host name namespaces. The one argument is a JSON object: ``folder``
for what the instance writes, ``containers`` (folder of the container store, null: in memory),
``shared`` (folders to be seen at the same path), ``files`` (path: [mode, content]), ``name``.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any


def mount(*arguments: str) -> None:
    """Mount with the program of that name."""
    subprocess.run(["mount", *arguments], check=True)


def make_root(told: dict[str, Any]) -> Path:
    """Mount the machine's own root, with what is written going to the instance's folder."""
    folder = Path(told["folder"])
    root, upper, work = (folder / name for name in ("root", "upper", "work"))
    for one in (root, upper, work):
        one.mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir=/,upperdir={upper},workdir={work}"
    mount("-t", "overlay", "overlay", "-o", layers, str(root))
    for path in ("/dev", "/sys"):
        mount("--rbind", path, f"{root}{path}")
    mount("-t", "proc", "proc", f"{root}/proc")
    for path in ("/dev/shm", "/run", "/tmp"):  # noqa: S108
        mount("-t", "tmpfs", "tmpfs", f"{root}{path}")
    (root / "tmp").chmod(0o1777)
    (root / "run" / "lock").mkdir()
    for path in told["shared"]:
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        mount("--rbind", path, f"{root}{path}")
    # The container store cannot lie on an overlay itself.
    store = root / "var" / "lib" / "containers"
    store.mkdir(parents=True, exist_ok=True)
    if told["containers"] is None:
        mount("-t", "tmpfs", "tmpfs", str(store))
    else:
        Path(told["containers"]).mkdir(parents=True, exist_ok=True)
        mount("--rbind", told["containers"], str(store))
    return root


def write_files(root: Path, files: dict[str, tuple[int, str]]) -> None:
    """Write files below the new root, and the resolver's as it is here."""
    resolver = Path("/etc/resolv.conf")  # often a link into /run
    content = resolver.read_text(encoding="utf-8") if resolver.is_file() else ""
    for name, (mode, text) in {"/etc/resolv.conf": (0o644, content), **files}.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)


def main() -> None:
    """Make the root, enter it, and stay."""
    told = json.loads(sys.argv[1])
    root = make_root(told)
    write_files(root, told["files"])
    shutil.rmtree(root / "opt" / "codedeploy-agent", ignore_errors=True)
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True)
    subprocess.run(["umount", "--lazy", "."], check=True)
    os.chdir("/")
    socket.sethostname(told["name"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans are reaped by the kernel
    Path("/run/ready").touch()
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
