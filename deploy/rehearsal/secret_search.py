"""Whether a secret is anywhere it must not be: logs, bundles, reports, lists of processes."""

import tarfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path


class ProcessList:
    """Notes the command line of every process on the machine, again and again.

    Instances' and containers' processes are among them.
    """

    def __init__(self, path: Path, seconds: float = 0.2) -> None:
        self._path, self._seconds = path, seconds
        self._seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join(5)

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            found = set(_command_lines()) - self._seen
            if found:
                self._seen |= found
                with self._path.open("ab") as listed:
                    listed.writelines(line.replace(b"\0", b" ") + b"\n" for line in sorted(found))


def _command_lines() -> Iterable[bytes]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                yield (process / "cmdline").read_bytes()
            except OSError:
                continue


def places(folders: Iterable[Path], secrets: Sequence[str]) -> list[str]:
    """Return the files under some folders in which a secret is, packed bundles' files too.

    The secret itself is not in the answer.
    """
    wanted = [secret.encode() for secret in secrets if secret]
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            found += [
                name
                for name, content in _contents(path)
                if any(secret in content for secret in wanted)
            ]
    return found


def _contents(path: Path) -> Iterable[tuple[str, bytes]]:
    yield str(path), path.read_bytes()
    if path.suffix == ".tgz":
        with tarfile.open(path) as packed:
            for member in packed:
                content = packed.extractfile(member)
                if content is not None:
                    yield f"{path}: {member.name}", content.read()
