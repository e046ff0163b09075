"""Process 1 of an instance: make its root file system and enter it, then wait.

Runs in new mount, process and host name namespaces. The one argument is a JSON object: ``folder``
for what the instance writes, ``containers`` (folder of the container store, null: in memory),
``shared`` (folders mounted at the same path), ``files`` (path: content), ``name``.
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


def mount(*arguments: str | Path) -> None:
    """Run the program ``mount``."""
    subprocess.run(["mount", *arguments], check=True)


def make_root(told: dict[str, Any]) -> Path:
    """Mount the machine's root as an overlay that writes to the instance's folder."""
    folder = Path(told["folder"])
    root, upper, work = (folder / name for name in ("root", "upper", "work"))
    for one in (root, upper, work):
        one.mkdir(parents=True)
    layers = f"lowerdir=/,upperdir={upper},workdir={work}"
    mount("-t", "overlay", "overlay", "-o", layers, root)
    for path in ("/dev", "/sys"):
        mount("--rbind", path, f"{root}{path}")
    mount("-t", "proc", "proc", f"{root}/proc")
    for path in ("/dev/shm", "/run", "/tmp"):  # noqa: S108
        mount("-t", "tmpfs", "tmpfs", f"{root}{path}")
    (root / "tmp").chmod(0o1777)
    (root / "run" / "lock").mkdir()
    for path in told["shared"]:
        Path(f"{root}{path}").mkdir(parents=True, exist_ok=True)
        mount("--rbind", path, f"{root}{path}")
    # The container store cannot lie on an overlay itself.
    store = root / "var" / "lib" / "containers"
    store.mkdir(parents=True, exist_ok=True)
    if told["containers"] is None:
        mount("-t", "tmpfs", "tmpfs", store)
    else:
        Path(told["containers"]).mkdir(parents=True, exist_ok=True)
        mount("--rbind", told["containers"], store)
    return root


def main() -> None:
    """Make the root, enter it, and stay."""
    told = json.loads(sys.argv[1])
    root = make_root(told)
    resolver = Path("/etc/resolv.conf")  # often a link into /run
    content = resolver.read_text(encoding="utf-8") if resolver.is_file() else ""
    for name, text in {str(resolver): content, **told["files"]}.items():
        path = Path(f"{root}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    shutil.rmtree(root / "opt" / "codedeploy-agent", ignore_errors=True)
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True)
    subprocess.run(["umount", "--lazy", "."], check=True)
    os.chdir("/")
    socket.sethostname(told["name"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans are reaped by the kernel
    Path(f"/run/{told['name']}-is-ready").touch()
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
