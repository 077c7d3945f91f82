"""The demonstration: autoencoders on real images, what they learned as a table and as pictures."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import data
from aefast.demo_models import CONVOLUTIONAL, EPOCHS, models
from aefast.demo_pictures import draw, noisy, pca

Array = NDArray[Any]
SLOW = ("numpy",)  # backends on which the convolutional models would take minutes
INACTIVE = 0.05  # a sigmoid unit below this counts as silent
# Columns of the printed table: key of a result, heading, format.
COLUMNS = (
    ("model", "model", "{}"),
    ("code", "code", "{}"),
    ("test_mse", "test MSE", "{:.5f}"),
    ("pca_mse", "PCA MSE", "{:.5f}"),
    ("elbo", "ELBO (nats)", "{:.1f}"),
    ("mean_activation", "mean activation", "{:.3f}"),
    ("inactive", "inactive", "{:.0%}"),
    ("seconds", "seconds", "{:.1f}"),
    ("samples_per_second", "samples/s", "{:,.0f}"),
    ("backend", "backend", "{}"),
)


@dataclass
class Result:
    """One model's row. Errors are mean squared errors of held-out images, pixels being 0..1.

    The denoising model, and PCA beside it, get noisy images and are measured against the clean ones. No PCA (None) of as
    many components as there are pixels.
    """

    model: str
    code: int
    test_mse: float
    pca_mse: float | None
    seconds: float
    samples_per_second: float
    backend: str
    elbo: float | None = None
    mean_activation: float | None = None
    inactive: float | None = None


def run(
    name: str = "mnist",
    out: str | Path = "aefast-demo",
    *,
    epochs: int | None = None,
    backend: str = "auto",
    seed: int = 0,
    say: Callable[[str], object] = print,
) -> list[Result]:
    """Trains the models on the data set `name`, leaves models, table and pictures in the folder `out`.

    Raises what `aefast.data.load` and the estimators raise, and OSError where `out` can't be written.
    """
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        images = data.load(name)
    if notes:
        say(f"Note: {notes[0].message}.")
        name = "digits"
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    n = len(images.X_train)
    epochs = epochs or EPOCHS[name]
    say(
        f"Autoencoders learn to squeeze {name} images ({images.image_shape[0]} x {images.image_shape[1]} "
        f"pixels) into a few numbers and back: {n:,} images to train on, {len(images.X_test):,} held out."
    )
    fitted, results, left_out = {}, [], []
    for key, model in models(images.image_shape, epochs, backend, seed).items():
        used = _warm_up(model, images.X_train)
        if key in CONVOLUTIONAL and used in SLOW:
            left_out.append(key)
            continue
        start = time.perf_counter()
        model.fit(images.X_train)
        seconds = time.perf_counter() - start
        model.save(folder / f"{key}.safetensors")
        fitted[key] = model
        results.append(_measure(key, model, images, seconds))
    if left_out:
        say(f"\nLeft out: {', '.join(left_out)}, as convolutions take minutes on the backend {used}.")
    table = markdown(results)
    say(
        "\nHeld-out images, pixels 0..1; PCA has as many components as the code "
        f"(of noisy images for the denoising ones).\n\n{table}"
    )
    _write_table(folder, name, images, epochs, table, results)
    pictures = draw(fitted, images, folder, seed)
    files = f"models and results.md{' and pictures' if pictures else ''} are in {folder}{'/' if folder.name else ''}"
    say(f"\nDone: {files}" + (f" (start with {pictures[0].name})." if pictures else "."))
    if not pictures:
        say("Pictures need matplotlib: pip install 'aefast[demo]'")
    say(
        f"Try next: aefast demo --data {'mnist' if name == 'fashion-mnist' else 'fashion-mnist'}, or in Python\n"
        "    import aefast\n"
        f'    model = aefast.load("{folder / "variational.safetensors"}")\n'
        "    new_images = model.sample(16)"
    )
    return results


def markdown(results: list[Result]) -> str:
    """The results as a Markdown table whose columns line up; "-" where a number makes no sense."""
    rows = [[head for _, head, _ in COLUMNS]]
    for result in results:
        values = asdict(result)
        rows.append(["-" if values[key] is None else form.format(values[key]) for key, _, form in COLUMNS])
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = [
        "| " + " | ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|")
    return "\n".join(lines)


def _warm_up(model: Any, X: Array) -> str:
    """Compiles or loads the kernels, so that the seconds of the table are those of the training; the backend's name."""
    from sklearn.base import clone

    tried = clone(model).set_params(verbose=0).partial_fit(X[: 2 * model.batch_size])
    tried.reconstruct(X[:2])
    name: str = tried.trainer_.backend_name
    return name


def _measure(key: str, model: Any, images: data.Dataset, seconds: float) -> Result:
    code, clean, seen = model.n_components_, images.X_test / 255.0, images.X_test / 255.0
    if getattr(model, "corruption", None) is not None:
        seen = noisy(clean, model.trainer_.seed)
    pca_mse = float(np.mean((pca(images, code)(seen) - clean) ** 2)) if code < clean.shape[1] else None
    result = Result(
        model=key,
        code=code,
        test_mse=float(np.mean((model.reconstruct(255.0 * seen) / 255.0 - clean) ** 2)),
        pca_mse=pca_mse,
        seconds=seconds,
        samples_per_second=model.n_iter_ * len(images.X_train) / seconds,
        backend=model.trainer_.backend_name,
    )
    if model.variational:
        result.elbo = model.score(images.X_test)
    if getattr(model, "sparsity", None) is not None:
        activations = model.transform(images.X_test)
        result.mean_activation = float(activations.mean())
        result.inactive = float(np.mean(activations < INACTIVE))
    return result


def _write_table(
    folder: Path, name: str, images: data.Dataset, epochs: int, table: str, results: list[Result]
) -> None:
    n = len(images.X_train)
    about = (
        f"Trained on {n:,} {name} images for {epochs} epochs; errors and ELBO on {len(images.X_test):,} held-out "
        "ones, pixels 0..1. PCA has as many components as the code. The denoising models and "
        f"their PCA see noisy images. Inactive: the share of code activations below {INACTIVE}. Seconds are those of `fit`, "
        "kernels already compiled."
    )
    (folder / "results.md").write_text(f"# aefast demo: {name}\n\n{about}\n\n{table}\n", encoding="utf-8")
    content = {"data": name, "n_train": n, "n_test": len(images.X_test), "epochs": epochs}
    content["models"] = [asdict(result) for result in results]
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
