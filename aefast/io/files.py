"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What a killed writer left behind is removed by a later one after so many seconds without a change.
LEFTOVER_SECONDS = 24 * 3600
# Of the target's name in the temporary one: room below the 255 bytes of a name, also at four bytes a letter.
NAME_LETTERS = 40
# Answers of filesystems that have no fsync for directories; there the rename needs none or can't be helped.
NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP)


def replace_file(path: str | os.PathLike[str], content: bytes | bytearray | memoryview) -> None:
    """Writes beside `path`, syncs, and renames over it: whoever reads sees the old file or the new one, never a part.

    Raises OSError; see `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, for the block to write; it takes `path`'s place at the block's end.

    Then the data is on the disk (file fsync, rename, directory fsync). A symbolic link stays one: what it points to is
    replaced. The old file's mode is kept; a new one gets what the umask leaves. Devices and pipes are written in place.

    Raises OSError, PermissionError where the old file is write-protected. After an error in the block or in the sync the
    old file is as it was and the temporary one is gone; only where the directory can't be synced the new one is in place.
    """
    target = Path(os.path.realpath(path))
    mode = _mode(target)
    if mode is not None and not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        yield target
        return
    if mode is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected", os.fspath(path))
    prefix, suffix = f".{target.stem[:NAME_LETTERS]}.", f".partial{target.suffix}"
    temporary = target.with_name(f"{prefix}{secrets.token_hex(8)}{suffix}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        handle = os.open(temporary, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename in (temporary, os.fspath(temporary)):
            error.filename = os.fspath(path)  # the name that the caller knows
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)
    _sweep(target.parent, prefix, suffix)


def _mode(target: Path) -> int | None:
    try:
        return target.stat().st_mode
    except FileNotFoundError:
        return None


def _sync_directory(directory: Path) -> None:
    """The rename itself is on the disk only when its directory is."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(handle)


def _sweep(directory: Path, prefix: str, suffix: str) -> None:
    """Removes what writers of the same target left behind when they were killed."""
    pattern = re.compile(f"{re.escape(prefix)}[0-9a-f]{{16}}{re.escape(suffix)}")
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                with suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > LEFTOVER_SECONDS:
                        Path(entry.path).unlink()
