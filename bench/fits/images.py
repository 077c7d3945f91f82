"""784-256-32-256-784 on Fashion-MNIST in aefast and torch: ReLU, a linear code, sigmoid output, squared error, Adam 1e-3,
batch 128, shuffled, pixels scaled to [0, 1].
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.fits import Data, Entry, Fitted, Subject, autoencoder

# Test rows that are reconstructed together: maps of all at once would take gigabytes.
TEST_ROWS = 1000
WIDTHS, BATCH, RATE = (784, 256, 32, 256, 784), 128, 1e-3


def aefast(data: Data, seed: int, epochs: int) -> Fitted:
    model = autoencoder(
        *WIDTHS[1:3],
        rate=RATE,
        batch=BATCH,
        epochs=epochs,
        seed=seed,
        output_activation="sigmoid",
        scaling="pixel",
    )
    return fit_aefast(model, data)


def fit_aefast(model: Any, data: Data) -> Fitted:
    """An estimator fitted on the uint8 rows; its error on the test rows, of pixels in [0, 1]."""
    import aefast as package

    start = time.perf_counter()
    model.fit(data.train)
    seconds = time.perf_counter() - start
    error = np.mean(((model.reconstruct(data.test) - data.test.astype(np.float64)) / 255.0) ** 2)
    versions = {"aefast": package.__version__, "aefast backend": model.trainer_.backend_name}
    return Fitted({"fit": seconds}, {"test MSE": float(error)}, versions)


def torch(data: Data, seed: int, epochs: int) -> Fitted:
    return _torch(data, seed, epochs)


def torch_fused(data: Data, seed: int, epochs: int) -> Fitted:
    return _torch(data, seed, epochs, fused=True)


def _torch(data: Data, seed: int, epochs: int, **options: Any) -> Fitted:
    import torch as package

    def made() -> Any:
        linear = [package.nn.Linear(m, n) for m, n in itertools.pairwise(WIDTHS)]
        relu, sigmoid = package.nn.ReLU(), package.nn.Sigmoid()
        return package.nn.Sequential(linear[0], relu, linear[1], linear[2], relu, linear[3], sigmoid)

    return fit_torch(made, (WIDTHS[0],), data, seed, epochs, **options)


def fit_torch(
    make: Callable[[], Any], shape: tuple[int, ...], data: Data, seed: int, epochs: int, **options: Any
) -> Fitted:
    """The loop that people write around a model for rows of that shape; options of Adam."""
    import torch as package

    package.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    package.manual_seed(seed)
    model = make()
    optimizer = package.optim.Adam(model.parameters(), lr=RATE, **options)
    start = time.perf_counter()
    x = package.from_numpy(data.train).float().view(-1, *shape) / 255.0  # once; aefast scales in its gather
    for _ in range(epochs):
        order = package.randperm(len(x))
        for i in range(0, len(x), BATCH):
            batch = x[order[i : i + BATCH]]
            optimizer.zero_grad(set_to_none=True)
            package.nn.functional.mse_loss(model(batch), batch).backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    test = package.from_numpy(data.test).double().view(-1, *shape) / 255.0
    with package.no_grad():
        parts = test.split(TEST_ROWS)
        error = (
            sum(float(((model(part.float()).double() - part) ** 2).sum()) for part in parts) / test.numel()
        )
    return Fitted({"fit": seconds}, {"test MSE": error}, {"torch": package.__version__})


def fashion(seed: int) -> Data:
    """60,000 + 10,000 pictures; FileNotFoundError where they aren't here."""
    from aefast.data import load

    found = load("fashion-mnist")
    return Data(found.X_train.copy(), found.X_test.copy())  # torch wants what it could write to


def mnist(seed: int) -> Data:
    """4,000 + 1,000 digits, in place of Fashion-MNIST where that isn't here; FileNotFoundError where neither is."""
    from aefast.data import load
    from aefast.data.datasets import mnist_table

    mnist_table()
    found = load("mnist")
    return Data(found.X_train, found.X_test)


SUBJECT = Subject(
    "Fashion-MNIST, test error and time",
    10,
    "fit",
    {
        "aefast": Entry("images", "aefast", "aefast", "`Autoencoder.fit` on uint8 rows"),
        "torch": Entry("images", "torch", "torch", "eager, torch.optim.Adam, float32 rows in memory"),
        "torch-fused": Entry("images", "torch_fused", "torch", "the same with Adam(fused=True)"),
    },
    {"fashion-mnist": fashion, "mnist": mnist},
    "784-256-32-256-784, ReLU, linear code, sigmoid output, squared error of pixels in [0, 1], Adam 1e-3, batch 128, "
    "shuffled; float32. Initial weights and shuffles are each library's own. The time has the conversion of the uint8 pixels "
    "and the shuffle of every epoch in it.",
    fallback="mnist",
)
