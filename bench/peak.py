"""What the machine's cores could do: `python -m bench.peak` answers each line on stdin with a measurement.

{"do": "measure"}: the FMA peak, of independent fused multiply-adds in registers (`fma_peak.cpp`, compiled for this machine).
Without a compiler the best of a few float32 NumPy products stands in: a library's speed, and called so.
{"do": "roofs"}: what the cost model needs besides (`bench.model.Roofs`), from `roofs.cpp`; without a compiler an error.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

UNKNOWN = "not measured"
LOOP = "FMA loop in registers (bench/fma_peak.cpp, best of 3)"
MATMUL = "best NumPy float32 matmul of size 1536 (a lower bound of the peak: no C++ compiler)"
HERE = Path(__file__).parent


def compiled(source: str, folder: str) -> str | None:
    """The path of the program of that stem, or None without a compiler."""
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        return None
    program = str(Path(folder) / source)
    native = "-mcpu=native" if os.uname().machine == "aarch64" else "-march=native"
    flags = ["-O3", native, "-ffp-contract=fast", "-pthread"]
    command = [compiler, *flags, "-o", program, str(HERE / f"{source}.cpp")]
    done = subprocess.run(command, capture_output=True, check=False)
    return program if done.returncode == 0 else None


def loop_gflops(program: str, threads: int) -> float:
    """The best of three tenths of a second."""
    command = [program, str(threads), "0.1"]
    return max(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(3))


def matmul_gflops() -> float:
    n = 1536
    a = np.random.default_rng(0).standard_normal((n, n), np.float32)
    out = np.empty_like(a)
    best = np.inf
    for _ in range(4):
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        best = min(best, time.perf_counter() - start)
    return 2.0 * n**3 / best / 1e9


def roofs(folder: str, threads: int) -> dict[str, Any]:
    """Barrier and bandwidths for `threads` threads."""
    program = compiled("roofs", folder)
    if program is None:
        return {"status": "error", "detail": "no C++ compiler, so that bandwidth and barrier aren't known"}
    said = subprocess.run([program, str(threads)], capture_output=True, check=True).stdout
    return {"status": "measured", **json.loads(said)}


def main() -> None:
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    with tempfile.TemporaryDirectory() as folder:
        program = compiled("fma_peak", folder)
        print(json.dumps({"status": "ready", "method": LOOP if program else MATMUL}), flush=True)
        for line in sys.stdin:
            if json.loads(line)["do"] == "roofs":
                answer = roofs(folder, threads)
            else:
                gflops = loop_gflops(program, threads) if program else matmul_gflops()
                answer = {"status": "measured", "gflops": gflops}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
