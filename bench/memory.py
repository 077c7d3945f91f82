"""`python -m bench memory`: the peak memory of a fit, above what `import aefast` takes, against the promise.

    promised = the data as given + (5 + EMA + best weights) parameters + two batches of activations + 60 MB

Parameters are float32 (or float64 with that dtype): values, gradient, two moments and the backend's panels. A batch of
activations is the input and the output of every layer of one batch's rows; there are two, with the deltas. Each case has a
process of its own, which reads its data from a file: nothing else leaves a peak there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from bench.turns import RUN_MODULE

Document = dict[str, Any]
ALLOWANCE = 60e6
EPOCHS = 2
TIMEOUT = 600


@dataclass(frozen=True)
class Case:
    """Rows, widths and batch of a fit, the data's dtype, how it comes, and estimator options."""

    n: int
    widths: tuple[int, ...]
    batch: int
    dtype: str = "float32"
    mapped: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def data_bytes(self) -> int:
        return self.n * self.widths[0] * np.dtype(self.dtype).itemsize

    @property
    def parameters(self) -> int:
        return sum((m + 1) * n for m, n in zip(self.widths, self.widths[1:], strict=False))

    @property
    def promised(self) -> float:
        """Bytes."""
        size = 8 if self.options.get("dtype") == "float64" else 4
        copies = 5 + bool(self.options.get("ema")) + bool(self.options.get("early_stopping"))
        activations = size * self.batch * sum(self.widths)
        # early_stopping holds rows out, for which it copies X once; fit's docstring says so.
        data = self.data_bytes * (2 if self.options.get("early_stopping") else 1)
        return data + copies * size * self.parameters + 2 * activations + ALLOWANCE


MNIST, WIDE = (784, 256, 32, 256, 784), (2048, 2048, 256, 2048, 2048)
CASES: dict[str, Case] = {
    "float32": Case(60_000, MNIST, 256),
    "float64": Case(60_000, MNIST, 256, "float64"),
    "uint8": Case(200_000, MNIST, 256, "uint8", options={"scaling": "pixel"}),
    "memmap": Case(100_000, MNIST, 256, mapped=True),
    "memmap, float64": Case(50_000, MNIST, 256, "float64", mapped=True),
    "wide": Case(4_096, WIDE, 2048),
    "wide, EMA": Case(4_096, WIDE, 256, options={"ema": 0.99}),
    "wide, best weights": Case(4_096, WIDE, 256, options={"early_stopping": True}),
    "large batch": Case(16_384, (4096, 1024, 4096), 4096),
    "deep": Case(60_000, (256,) * 17, 1024),
    "tiny": Case(1_000, (10, 4, 10), 32),
}


def main() -> None:
    """The measured process: `bench.memory CASE FILE BACKEND THREADS` prints bytes before and at the peak."""
    import aefast

    case, backend = Case(**json.loads(sys.argv[1])), sys.argv[3]
    aefast.Autoencoder  # noqa: B018 (the estimators load when used, and scikit-learn with them)
    model = _estimator(case, aefast, backend, int(sys.argv[4]))
    # What any fit needs of code and scratch isn't told apart: it is in the allowance.
    before = _resident("VmRSS")
    data = np.load(sys.argv[2], mmap_mode="r" if case.mapped else None)
    model.fit(data)
    print(json.dumps({"before": before, "peak": _resident("VmHWM"), "backend": model.trainer_.backend_name}))


def _estimator(case: Case, aefast: Any, backend: str, threads: int) -> Any:
    latent = len(case.widths) // 2
    return aefast.Autoencoder(
        case.widths[latent],
        hidden_layer_sizes=tuple(case.widths[1:latent]),
        batch_size=case.batch,
        epochs=EPOCHS,
        random_state=0,
        backend=backend,
        n_threads=threads,
        **case.options,
    )


def _resident(key: str) -> int:
    """Bytes by /proc/self/status, Linux alone: VmRSS now, VmHWM at the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def measure(case: Case, backend: str = "auto", threads: int = 1) -> Document:
    """{"status": "ok", "growth": bytes of the peak above import, "backend": name}, or what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npy"
        _write_data(case, path)
        command = ["bench.memory", json.dumps(asdict(case)), str(path), backend, str(threads)]
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", RUN_MODULE, *command],
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"status": "error", "detail": f"no end within {TIMEOUT} s"}
    if done.returncode:
        return {"status": "error", "detail": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    said = json.loads(done.stdout.splitlines()[-1])
    return {"status": "ok", "growth": said["peak"] - said["before"], "backend": said["backend"]}


def _write_data(case: Case, path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = (case.n, case.widths[0])
    out = np.lib.format.open_memmap(path, mode="w+", dtype=case.dtype, shape=shape)
    for i in range(0, case.n, 4096):
        block = rng.random(out[i : i + 4096].shape, np.float32)
        out[i : i + 4096] = block * 255 if case.dtype == "uint8" else block
    out.flush()


def run(arguments: argparse.Namespace) -> int:
    """All cases; 1 where the promise doesn't hold or a fit failed."""
    document = machine.describe(arguments)
    print(f"command  {document['command']}\nmachine  {document['machine']}", flush=True)
    start = time.monotonic()
    for name in arguments.cases:
        case = CASES[name]
        row: Document = {"case": name, **asdict(case), "promised": case.promised}
        if time.monotonic() - start > arguments.budget:
            row |= {"status": "left out", "detail": "the budget was spent"}
        else:
            row |= measure(case, arguments.backend, arguments.threads)
        row["holds"] = row["growth"] <= case.promised if row["status"] == "ok" else None
        document["rows"].append(row)
        print(" | ".join(_cells(row)), flush=True)
        machine.write(document, markdown(document), arguments.out, arguments.name)
    print(f"written: {arguments.out / arguments.name}.json, .md")
    return int(any(row["holds"] is False or row["status"] == "error" for row in document["rows"]))


def _cells(row: Document) -> list[str]:
    case = Case(**{key: row[key] for key in ("n", "widths", "batch", "dtype", "mapped", "options")})
    options = ", ".join(f"{k}={v}" for k, v in case.options.items())
    net = (
        "-".join(map(str, case.widths))
        if len(case.widths) < 8
        else f"{len(case.widths) - 1} layers of {case.widths[0]}"
    )
    cells = [row["case"], f"{case.n} x {case.widths[0]} {case.dtype}" + (", memmap" if case.mapped else "")]
    cells += [f"{net}/{case.batch}" + (f", {options}" if options else "")]
    cells += [
        f"{case.data_bytes / 1e6:.0f}",
        f"{4 * case.parameters / 1e6:.1f}",
        f"{case.promised / 1e6:.0f}",
    ]
    if row["status"] != "ok":
        return [*cells, "-", "-", f"{row['status']}: {row['detail']}"]
    above = (row["growth"] - case.data_bytes) / 1e6
    return [*cells, f"{row['growth'] / 1e6:.0f}", f"{above:.0f}", "yes" if row["holds"] else "NO"]


def markdown(document: Document) -> str:
    return "\n".join(
        [
            "# Peak memory of a fit",
            "",
            *machine.lines(document),
            f"- Python {document['python']}, {document['threads']} threads, {EPOCHS} epochs, the growth of the resident set "
            "above `import aefast`, in MB (10^6 bytes)",
            "",
            "Promised: data as given + 5 x parameters (one more each for EMA and best weights) + two batches of activations "
            "+ 60 MB. A memmap's pages count while",
            "they are resident. early_stopping copies X once to hold rows out: its data counts twice.",
            "",
            "| case | data | net/batch | data MB | parameters MB | promised | peak | peak - data | holds |",
            "|---|---|---|---:|---:|---:|---:|---:|---|",
            *("| " + " | ".join(_cells(row)) + " |" for row in document["rows"]),
            "",
        ]
    )


if __name__ == "__main__":
    main()
