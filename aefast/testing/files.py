"""`python -m aefast.testing.files`: whether saved files can be trusted; damage, hostile headers, kills, full disks, resumes.

Prints one line a trial: how often it was tried and how often it failed. Exit code 1 on failures.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import aefast
from aefast import backends
from aefast.testing import crashes, forgery, resumes
from aefast.testing.forgery import Forged

SHOWN = 3  # failures told in full
SLOW_SECONDS = 2.0
SLACK_KIB = 200 << 10  # memory that reading a hostile file of some kilobytes may take
X = np.random.default_rng(0).random((60, 16)).astype(np.float32)


def samples(folder: Path) -> dict[str, bytes]:
    """A model and a checkpoint, of kinds with as much in the header as there is."""
    model = aefast.VariationalAutoencoder(
        3, hidden_layer_sizes=(5,), epochs=2, random_state=0, backend="numpy", optimizer=aefast.optim.AdamW()
    )
    tied = aefast.Autoencoder(
        3,
        hidden_layer_sizes=(5,),
        tied_weights=True,
        corruption="masking",
        epochs=2,
        ema=0.9,
        backend="numpy",
    )
    model.fit(X).save(folder / "model")
    tied.fit(X).save(folder / "tied")
    resumes.run_of("numpy").save_checkpoint(folder / "checkpoint")
    return {name: (folder / name).read_bytes() for name in ("model", "tied", "checkpoint")}


def outcome(kind: str, path: Path) -> str:
    """What reading the file comes to: "refused", "loaded" (and it works), "no backend", or a failure in words."""
    try:
        if kind == "checkpoint":
            trainer = aefast.Trainer.load_checkpoint(path)
            trainer.encode(np.zeros((2, trainer.topology.n_features)))
        else:
            model = aefast.load(path)
            model.transform(np.zeros((2, model.n_features_in_)))
    except aefast.CorruptFileError:
        return "refused"
    except aefast.BackendUnavailableError:
        return "no backend"
    except Exception as error:  # noqa: BLE001 (any other is what is looked for)
        return f"{type(error).__name__}: {error}"
    return "loaded"


def try_files(kind: str, files: Iterable[Forged], path: Path) -> tuple[Counter[str], list[str]]:
    """Counts of outcomes, and the failures."""
    counts: Counter[str] = Counter()
    failures = []
    for forged in files:
        path.write_bytes(forged.data)
        began = time.perf_counter()
        found = outcome(kind, path)
        took = time.perf_counter() - began
        known = found in ("refused", "loaded", "no backend")
        counts[found if known else "failed"] += 1
        if not known or (forged.refused and found != "refused"):
            failures.append(f"{forged.what}: {found}")
        elif took > SLOW_SECONDS:
            failures.append(f"{forged.what}: took {took:.1f} s")
    return counts, failures


def report(what: str, tried: int, failures: list[str], note: str = "") -> int:
    """Prints one line, and the first failures; their number."""
    print(f"{what:42} {tried:6} tried {len(failures):6} failed  {note}", flush=True)
    for failure in failures[:SHOWN]:
        print(f"    {failure[:300]}")
    return len(failures)


def most_memory() -> int:
    """KiB that this process has held at most; 0 where the system doesn't tell."""
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> 10 if sys.platform == "darwin" else most  # bytes there


def damage(folder: Path, flips: int, fuzz: int, rng: np.random.Generator) -> int:
    """Changed bits and forged files of every kind."""
    total = 0
    good = samples(folder)
    for what, n, make in (("bit flips", flips, forgery.flips), ("forged files", fuzz, forgery.fuzz)):
        for kind, data in good.items() if n else ():
            before = most_memory()
            share = n // len(good) + (kind == "model") * (n % len(good))
            counts, failures = try_files(kind, make(data, share, rng), folder / "forged")
            if (grown := most_memory() - before) > SLACK_KIB:
                failures.append(f"memory grew by {grown} KiB")
            note = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
            total += report(f"{what}, {kind}", share, failures, note)
    return total


def crash(folder: Path, kills: int, faults: int, rng: np.random.Generator) -> int:
    """Kills, full disks and I/O errors while a checkpoint is saved."""
    path = folder / "run.safetensors"
    failures = [found for _ in range(kills) if (found := crashes.killed_while_saving(path, rng))]
    total = report("kill -9 while saving", kills, failures)
    full = crashes.full_tmpfs(faults, int(rng.integers(2**31))) if faults else []
    if full is None:
        print(f"{'disk full, a real one':42} skipped: no tmpfs of its own may be mounted here")
    else:
        total += report("disk full, a real one", faults, [found for found in full if found])
    for code in (errno.ENOSPC, errno.EIO):
        stages = [crashes.STAGES[i % len(crashes.STAGES)] for i in range(faults)]
        with tempfile.TemporaryDirectory(dir=folder) as own:
            tried = [
                crashes.failing_save(Path(own) / "run.safetensors", stage, code, rng) for stage in stages
            ]
        total += report(
            f"{errno.errorcode[code]} at each stage of a save", faults, [found for found in tried if found]
        )
    return total


def resume(folder: Path, n: int, kind: signal.Signals, rng: np.random.Generator) -> int:
    """Runs that are stopped and resumed, on the native backend where it runs here."""
    backend = "cpu" if backends.available("cpu") else "numpy"
    path = folder / f"{kind.name}.safetensors"
    whole, seconds = resumes.uninterrupted(path, backend)
    ends = [resumes.stopped_and_resumed(path, whole, backend, seconds / 2, kind, rng) for _ in range(n)]
    counts = sum((stops for _, stops in ends), Counter[str]())
    note = f"{', '.join(f'{count} {name}' for name, count in counts.items())}; backend {backend}"
    return report(f"{kind.name} and resumed, bit by bit", n, [wrong for wrong, _ in ends if wrong], note)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m aefast.testing.files", description=__doc__)
    parser.add_argument("--flips", type=int, default=2000, help="files with one bit changed")
    parser.add_argument("--fuzz", type=int, default=2000, help="torn and forged files")
    parser.add_argument("--kills", type=int, default=200, help="kill -9 while saving")
    parser.add_argument("--faults", type=int, default=20, help="full disks and I/O errors, each")
    parser.add_argument("--resumes", type=int, default=50, help="runs that are killed -9 and resumed")
    parser.add_argument("--interrupts", type=int, default=50, help="runs that Ctrl-C stops, and resumed")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    rng = np.random.default_rng(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"seed {chosen.seed}, {os.cpu_count()} processors, {folder}")
        failures = damage(folder, chosen.flips, chosen.fuzz, rng)
        failures += crash(folder, chosen.kills, chosen.faults, rng)
        for kind, n in ((signal.SIGKILL, chosen.resumes), (signal.SIGINT, chosen.interrupts)):
            failures += resume(folder, n, kind, rng) if n else 0
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
