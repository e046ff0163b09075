"""What may be wrong with a registry that is a SQLite file of this machine, and what to do."""

import contextlib
import sqlite3
from typing import Final

from carprice.errors import RefusedError
from carprice.files import refusal_in, told
from carprice.registry.database_file import file_of

_WAIT_SECONDS: Final = 5.0
_NEW_ONE: Final = (
    "bring it back from a backup, or move it away: the next `carprice run` or `carprice up` makes "
    "a new registry, without the versions of the old one"
)
_CAUSES: Final = {
    "file is not a database": "is no SQLite database; {new_one}",
    "malformed": "is damaged (database disk image is malformed); {new_one}",
    "locked": "is locked by another program; end that program, or wait for it, and run this again",
    "disk is full": "cannot be written: the disk is full; free some space and run this again",
    "disk I/O error": "cannot be written: the disk is full, or fails; free some space and run this "
    "again",
    "readonly": "cannot be written; let this user write the file and its folder",
    "unable to open": "cannot be opened; see that its folder is there, and let this user read and "
    "write both",
}


def refuse_unusable(address: str) -> None:
    """Raise a RefusedError if a database cannot be read, where MLflow would go on trying.

    One that does not exist, or is empty, is not refused: MLflow makes it. Nor is any other
    registry.
    """
    path = file_of(address)
    if path is None or not path.exists():
        return
    if path.is_dir():
        raise RefusedError(
            f"MLflow at {address} cannot be opened, for {path} is a folder; move it away, or name "
            "another registry with MLFLOW_TRACKING_URI or tracking.uri"
        )
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_WAIT_SECONDS)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise RefusedError(f"MLflow at {address} {problem_of(error)}") from None


def problem_of(
    error: Exception,
    new_one: str = _NEW_ONE,
    otherwise: str = "check MLFLOW_TRACKING_URI and tracking.uri",
) -> str:
    """Return what an error says of the database or of the artifacts beside it, and what to do.

    Parameters
    ----------
    new_one, otherwise : what to do if the file is lost, and if it is not known what is wrong.

    Examples
    --------
    >>> problem_of(sqlite3.OperationalError("attempt to write a readonly database"))
    'cannot be written; let this user write the file and its folder'
    """
    if refusal := refusal_in(error):
        return f"cannot write {refusal.filename or 'its artifacts'}: {told(refusal)}"
    texts: list[str] = []
    behind: BaseException | None = error
    while behind is not None:
        texts.append(" ".join(str(behind).split()))
        behind = behind.__cause__ or behind.__context__
    for sign, cause in _CAUSES.items():
        if any(sign in text for text in texts):
            return cause.format(new_one=new_one)
    return f"did not do what was asked: {texts[0][:300]}; {otherwise}"
