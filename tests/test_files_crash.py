"""How a file comes to the disk: whole or not at all, whatever dies, fills up or fails; and runs that go on after it."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from aefast import backends
from aefast.io import files
from aefast.io.files import replace_file, replacing
from aefast.testing import crashes, resumes

posix = pytest.mark.skipif(os.name != "posix", reason="signals, modes and symbolic links of POSIX")


def test_the_data_is_synced_before_the_name_and_the_name_after(tmp_path, monkeypatch):
    calls = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(handle):
        mode = os.fstat(handle).st_mode
        calls.append("directory" if stat.S_ISDIR(mode) else f"file of {os.fstat(handle).st_size}")
        real_sync(handle)

    def replace(self, target):
        calls.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    replace_file(tmp_path / "a", b"12345")
    assert calls == ["file of 5", "rename", *(["directory"] if os.name == "posix" else [])]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:  # noqa: PT012
        assert temporary.parent == tmp_path and temporary.suffix == ".csv"
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@posix
def test_modes_are_kept_and_new_files_follow_the_umask(tmp_path):
    path = tmp_path / "a"
    old = os.umask(0o027)
    try:
        replace_file(path, b"1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        replace_file(path, b"2")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604 and path.read_bytes() == b"2"


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/file")
    for content in (b"first", b"second"):  # a link to nothing, then to a file
        replace_file(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there" / "file").read_bytes() == content
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "link", "there"]


@posix
def test_devices_are_written_in_place_and_folders_refused(tmp_path):
    replace_file(os.devnull, b"gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path, b"")
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="No space left"):
            replace_file("/dev/full", b"x")


@posix
def test_a_write_protected_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"kept")
    path.chmod(0o444)
    monkeypatch.setattr(
        os, "access", lambda target, mode: bool(Path(target).stat().st_mode & 0o222)
    )  # also as root
    with pytest.raises(PermissionError, match="write-protected"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"kept"


def test_errors_name_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "nowhere" / "a"
    with pytest.raises(FileNotFoundError) as caught:
        replace_file(path, b"")
    assert caught.value.filename == str(path)


def test_long_names_have_room(tmp_path):
    name = "é" * 120 + ".safetensors"
    replace_file(tmp_path / name, b"1")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_what_the_killed_left_is_swept_after_a_day(tmp_path):
    old, young, other = (
        tmp_path / name
        for name in (".a.0123456789abcdef.partial.npy", ".a.fedcba9876543210.partial.npy", ".a.npy")
    )
    for path in (old, young, other):
        path.write_bytes(b"1")
    past = time.time() - files.LEFTOVER_SECONDS - 1
    for path in (old, other):
        os.utime(path, (past, past))
    replace_file(tmp_path / "a.npy", b"2")
    assert {p.name for p in tmp_path.iterdir()} == {"a.npy", young.name, other.name}


@posix
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=lambda code: errno.errorcode[code])
@pytest.mark.parametrize("stage", crashes.STAGES)
def test_a_failing_disk_takes_no_checkpoint(stage, code, tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(3 if stage == "write" else 1):
        assert not crashes.failing_save(tmp_path / "run.safetensors", stage, code, rng)


@posix
def test_a_filesystem_without_directory_sync_is_no_error(tmp_path):
    with crashes.failing("directory sync", errno.EINVAL):
        replace_file(tmp_path / "a", b"1")


@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces of Linux")
def test_a_full_disk_takes_no_checkpoint():
    failures = crashes.full_tmpfs(3, 0)
    if failures is None:
        pytest.skip("no tmpfs of its own may be mounted here")
    assert failures == [""] * 3


@posix
def test_kill_9_while_saving_takes_no_checkpoint(tmp_path):
    rng = np.random.default_rng(1)
    for _ in range(6):
        assert not crashes.killed_while_saving(tmp_path / "run.safetensors", rng)


@posix
def test_killed_runs_go_on_to_the_same_bits(tmp_path):
    backend = (
        "cpu" if backends.available("cpu") else "numba"
    )  # numpy's run would take too long to be killed in
    path, rng = tmp_path / "run.safetensors", np.random.default_rng(2)
    whole, seconds = resumes.uninterrupted(path, backend)
    stops = 0
    for _ in range(2):
        wrong, counts = resumes.stopped_and_resumed(path, whole, backend, seconds / 2, signal.SIGKILL, rng)
        assert not wrong
        stops += counts["stops"]
    assert stops > 0
