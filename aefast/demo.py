"""The demonstration: four autoencoders on real images, what they learned as a table and as pictures."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import data

Array = NDArray[Any]
# Enough for a good picture in a few seconds a model on two cores; an image set of another size does as many steps.
EPOCHS = {"mnist": 20, "digits": 60, "fashion-mnist": 3}
NOISE = 0.5  # standard deviation, pixels being 0..1
SHOWN = 12  # images in a row
SAMPLES = 64  # images in a grid
MAPPED = 2000  # points of the latent map
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


def models(d: int, epochs: int, backend: str, seed: int) -> dict[str, Any]:
    """The four estimators, unfitted, for images of d pixels; the name is that of the saved file."""
    from aefast.estimators import (
        Autoencoder,
        DenoisingAutoencoder,
        SparseAutoencoder,
        VariationalAutoencoder,
    )

    large = d >= 256
    code, hidden = (32, (256,)) if large else (8, (128,))
    same: dict[str, Any] = {
        "loss": "bce",
        "scaling": "pixel",
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "batch_size": 64,
        "epochs": epochs,
        "tol": 0.0,
        "n_iter_no_change": epochs,
        "backend": backend,
        "random_state": seed,
        "verbose": 1,
    }
    # A sigmoid's gradient is small, so the steps are larger; the decay makes strokes of what would be speckles.
    sparse = {
        "rho": 0.1,
        "sparsity_weight": 3.0,
        "learning_rate": 1e-2,
        "optimizer": "adamw",
        "weight_decay": 0.1,
    }
    return {
        "autoencoder": Autoencoder(code, hidden_layer_sizes=hidden, **same),
        "denoising": DenoisingAutoencoder(code, hidden_layer_sizes=hidden, corruption_level=NOISE, **same),
        "sparse": SparseAutoencoder(128 if large else 64, **same | sparse),
        "variational": VariationalAutoencoder(8, hidden_layer_sizes=(*hidden, hidden[-1] // 2), **same),
    }


def run(
    name: str = "mnist",
    out: str | Path = "aefast-demo",
    *,
    epochs: int | None = None,
    backend: str = "auto",
    seed: int = 0,
    say: Callable[[str], object] = print,
) -> list[Result]:
    """Trains the four models on the data set `name`, leaves models, table and pictures in the folder `out`.

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
    n, d = images.X_train.shape
    epochs = epochs or EPOCHS[name]
    say(
        f"Four autoencoders learn to squeeze {name} images ({images.image_shape[0]} x {images.image_shape[1]} pixels) "
        f"into a few numbers and back: {n:,} images to train on, {len(images.X_test):,} held out."
    )
    fitted, results = {}, []
    for key, model in models(d, epochs, backend, seed).items():
        _warm_up(model, images.X_train)
        start = time.perf_counter()
        model.fit(images.X_train)
        seconds = time.perf_counter() - start
        model.save(folder / f"{key}.safetensors")
        fitted[key] = model
        results.append(_measure(key, model, images, seconds))
    table = markdown(results)
    say(
        "\nHeld-out images, pixels 0..1; PCA has as many components as the code "
        f"(of noisy images in the row denoising).\n\n{table}"
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


def draw(fitted: dict[str, Any], images: data.Dataset, folder: Path, seed: int) -> list[Path]:
    """Saves the pictures as PNG files in `folder`; none where matplotlib isn't installed."""
    if find_spec("matplotlib") is None:
        return []
    from aefast import plots

    shape, vanilla, vae = images.image_shape, fitted["autoencoder"], fitted["variational"]
    chosen = _one_a_class(images.y_test, SHOWN)
    clean = images.X_test[chosen] / 255.0
    noisy = _noisy(clean, seed)
    codes = vae.transform(images.X_test[:MAPPED])
    rows = {
        "original": clean,
        f"PCA, {vanilla.n_components_}": np.clip(_pca(images, vanilla.n_components_)(clean), 0, 1),
        f"autoencoder, {vanilla.n_components_}": vanilla.reconstruct(images.X_test[chosen]) / 255.0,
    }
    curves = {key: model.loss_curve_ for key, model in fitted.items()}
    pictures = {
        "reconstructions": plots.reconstructions(
            rows, shape, title="Held-out images and their reconstructions"
        ),
        "denoising": plots.denoising(clean, noisy, fitted["denoising"].denoise(255.0 * noisy) / 255.0, shape),
        "samples": plots.samples(
            vae.sample(SAMPLES) / 255.0, shape, title="Images that the variational model made up"
        ),
        "filters": plots.filters(
            fitted["sparse"].components_[:SAMPLES], shape, title="What the sparse units look for"
        ),
        "latent_map": plots.latent_map(
            _plane(codes), images.y_test[:MAPPED], title="Held-out images in the variational code", axes="PCA"
        ),
        "loss_curves": plots.loss_curves(curves),
    }
    for name, figure in pictures.items():
        figure.savefig(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in pictures]


def _warm_up(model: Any, X: Array) -> None:
    """Compiles or loads the kernels, so that the seconds of the table are those of the training."""
    from sklearn.base import clone

    clone(model).set_params(verbose=0).partial_fit(X[: 2 * model.batch_size]).reconstruct(X[:2])


def _measure(key: str, model: Any, images: data.Dataset, seconds: float) -> Result:
    code, clean, seen = model.n_components_, images.X_test / 255.0, images.X_test / 255.0
    if getattr(model, "corruption", None) is not None:
        seen = _noisy(clean, model.trainer_.seed)
    pca_mse = float(np.mean((_pca(images, code)(seen) - clean) ** 2)) if code < clean.shape[1] else None
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


def _noisy(clean: Array, seed: int) -> Array:
    return clean + NOISE * np.random.default_rng(seed).standard_normal(clean.shape)


def _pca(images: data.Dataset, n_components: int) -> Callable[[Array], Array]:
    """Reconstruction, of pixels 0..1 as its input too, by the training images' leading principal components."""
    X = images.X_train.astype(np.float32) / np.float32(255.0)
    mean = X.mean(axis=0)
    X -= mean
    _, vectors = np.linalg.eigh(X.T @ X)
    basis = vectors[:, -n_components:]

    def reconstruct(rows: Array) -> Array:
        result: Array = (rows - mean) @ basis @ basis.T + mean
        return result

    return reconstruct


def _plane(codes: Array) -> Array:
    """Codes (n, L) on their two directions of largest variance: (n, 2)."""
    centred = codes - codes.mean(axis=0)
    plane: Array = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    return plane


def _one_a_class(y: Array, n: int) -> NDArray[np.int64]:
    """Indices of n images, the classes in turn."""
    seen = dict.fromkeys(np.unique(y), 0)
    turn = np.empty(len(y), np.int64)
    for i, label in enumerate(y):
        turn[i] = seen[label]
        seen[label] += 1
    return np.lexsort((y, turn))[:n]


def _write_table(
    folder: Path, name: str, images: data.Dataset, epochs: int, table: str, results: list[Result]
) -> None:
    n = len(images.X_train)
    about = (
        f"Trained on {n:,} {name} images for {epochs} epochs; errors and ELBO on {len(images.X_test):,} held-out ones, "
        "pixels 0..1. PCA has as many components as the code. The denoising model and its PCA see noisy images. "
        "Inactive: the share of code activations below "
        f"{INACTIVE}. Seconds are those of `fit`, kernels already compiled."
    )
    (folder / "results.md").write_text(f"# aefast demo: {name}\n\n{about}\n\n{table}\n", encoding="utf-8")
    content = {"data": name, "n_train": n, "n_test": len(images.X_test), "epochs": epochs}
    content["models"] = [asdict(result) for result in results]
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
