"""Checks what `aefast demo` printed and left: `python3 check_demo.py LOG FOLDER [BACKEND]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

MODELS = (
    *("autoencoder", "denoising", "sparse", "variational"),
    *("conv", "conv_denoising", "conv_variational"),
)
BETTER_THAN_PCA = ("autoencoder", "denoising", "conv", "conv_denoising")
PICTURES = ("reconstructions", "denoising", "samples", "filters", "latent_map", "loss_curves", "conv_samples")
PNG, SMALLEST = b"\x89PNG\r\n\x1a\n", 5000  # an empty figure of these sizes takes less


def problems(log: str, folder: Path, backend: str | None) -> list[str]:
    """What is wrong, a line each."""
    found = []
    rows = json.loads((folder / "results.json").read_text())["models"]
    if tuple(row["model"] for row in rows) != MODELS:
        found.append(f"the models should be {MODELS}, but are {[row['model'] for row in rows]}")
    by_name = {row["model"]: row for row in rows}
    for name in MODELS:
        cells = [line for line in log.splitlines() if line.startswith("|") and f" {name} |" in line]
        if len(cells) != 1:
            found.append(f"the printed table should have one row {name!r}, but has {len(cells)}")
        if not (folder / f"{name}.safetensors").is_file():
            found.append(f"{name}.safetensors is missing")
        # Images' variance is about 0.1: an untrained model doesn't come below that.
        if not 0.0 < by_name[name]["test_mse"] < 0.08:
            found.append(f"{name}: a test error of {by_name[name]['test_mse']} was never learned")
    beaten = [name for name in BETTER_THAN_PCA if not by_name[name]["test_mse"] < by_name[name]["pca_mse"]]
    found.extend(f"{name} should beat PCA, but {by_name[name]}" for name in beaten)
    found.extend(
        f"{name} should have an ELBO"
        for name in MODELS
        if "variational" in name and not by_name[name]["elbo"]
    )
    if backend is not None and {row["backend"] for row in rows} != {backend}:
        found.append(f"the backend should be {backend}, but is {[row['backend'] for row in rows]}")
    for name in PICTURES:
        picture = folder / f"{name}.png"
        content = picture.read_bytes() if picture.is_file() else b""
        if not content.startswith(PNG) or len(content) < SMALLEST:
            found.append(f"{picture.name} is no picture: {len(content)} bytes")
    return found


def main() -> int:
    """Prints the verdict; the exit code."""
    found = problems(Path(sys.argv[1]).read_text(), Path(sys.argv[2]), (sys.argv[3:] or [None])[0])
    print(
        "\n".join(found)
        if found
        else f"demo: {len(MODELS)} models, {len(BETTER_THAN_PCA)} beat PCA, all pictures are there"
    )
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
