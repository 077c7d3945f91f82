"""PyOD's AutoEncoder and the same net in aefast: d-64-32-64-d, ReLU, identity output, standardised features, squared
error, Adam 1e-3, batch 32, shuffled. Both learn from normal rows alone and score held-out normal rows and all anomalies.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.fits import Data, Entry, Fitted, Subject, autoencoder

HIDDEN, BATCH, RATE = (64, 32), 32, 1e-3
TRAIN_SHARE = 0.6


def aefast(data: Data, seed: int, epochs: int) -> Fitted:
    import aefast as package

    model = autoencoder(
        *HIDDEN,
        rate=RATE,
        batch=BATCH,
        epochs=epochs,
        seed=seed,
        latent_activation="relu",
        scaling="standard",
    )
    start = time.perf_counter()
    model.fit(data.train)
    trained = time.perf_counter() - start
    model.score_samples(data.train)
    whole = time.perf_counter() - start
    std = data.train.std(axis=0) + 1e-8
    errors = (((model.reconstruct(data.test) - data.test) / std) ** 2).mean(axis=1)
    versions = {"aefast": package.__version__, "aefast backend": model.trainer_.backend_name}
    return Fitted(
        {"train": trained, "fit": whole}, _scores(errors, -model.score_samples(data.test), data), versions
    )


def pyod(data: Data, seed: int, epochs: int) -> Fitted:
    return _pyod(data, seed, epochs, batch_norm=False, dropout_rate=0, optimizer_params={"weight_decay": 0.0})


def pyod_default(data: Data, seed: int, epochs: int) -> Fitted:
    return _pyod(data, seed, epochs)


def _pyod(data: Data, seed: int, epochs: int, **options: Any) -> Fitted:
    import pyod as package
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model = AutoEncoder(
        lr=RATE,
        epoch_num=epochs,
        batch_size=BATCH,
        device="cpu",
        random_state=seed,
        verbose=0,
        hidden_neuron_list=list(HIDDEN),
        **options,
    )
    inner, spent = model.train, [0.0]

    def timed(loader: Any) -> None:
        began = time.perf_counter()
        inner(loader)
        spent[0] = time.perf_counter() - began

    model.train = timed
    start = time.perf_counter()
    model.fit(data.train)  # ends with the scores of the training rows
    whole = time.perf_counter() - start
    scores = model.decision_function(
        data.test
    )  # the distance of row and reconstruction, in standardised space
    versions = {"pyod": package.__version__, "torch": torch.__version__}
    errors = scores**2 / data.test.shape[1]
    return Fitted({"train": spent[0], "fit": whole}, _scores(errors, scores, data), versions)


def _scores(errors: NDArray[Any], scores: NDArray[Any], data: Data) -> dict[str, float]:
    """Error of the normal test rows (mean square, standardised features), and the area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    if data.anomaly is None:
        return {"error": float(errors.mean())}
    return {"error": float(errors[~data.anomaly].mean()), "AUROC": float(roc_auc_score(data.anomaly, scores))}


# Data -----------------------------------------------------------------------------------------------------------------


def synthetic(seed: int) -> Data:
    """20,000 + 2,000 rows of 30 features, a noisy surface of 5 dimensions; no anomalies: for the time."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((22_000, 5))
    x = np.tanh(z @ rng.standard_normal((5, 30))) + 0.1 * rng.standard_normal((22_000, 30))
    return Data(x[:20_000], x[20_000:])


def breast_cancer(seed: int) -> Data:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return _novelty(bunch.data, bunch.target == 0, seed)  # 0: malignant


def shuttle(seed: int) -> Data:
    from aefast.data import load_table

    table = load_table("shuttle")
    assert table.y is not None
    return _novelty(table.X, table.y == 1, seed)


def _novelty(X: NDArray[Any], anomaly: NDArray[np.bool_], seed: int) -> Data:
    """Learn from part of the normal rows; judged by the rest of them and all anomalies."""
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(~anomaly))
    n = round(TRAIN_SHARE * len(normal))
    test = np.concatenate([normal[n:], np.flatnonzero(anomaly)])
    return Data(np.ascontiguousarray(X[normal[:n]]), np.ascontiguousarray(X[test]), anomaly[test])


SUBJECT = Subject(
    "PyOD's AutoEncoder, like for like",
    10,
    "train",
    {
        "aefast": Entry(
            "anomaly", "aefast", "aefast", "`Autoencoder.fit`, then `score_samples` of the training rows"
        ),
        "pyod": Entry("anomaly", "pyod", "pyod", "batch norm, dropout and weight decay off"),
        "pyod-default": Entry(
            "anomaly",
            "pyod_default",
            "pyod",
            "its defaults: batch norm, dropout 0.2, weight decay 1e-5",
            alike=False,
        ),
    },
    {"synthetic": synthetic, "breast-cancer": breast_cancer, "shuttle": shuttle},
    "d-64-32-64-d, ReLU, identity output, standardised features, squared error, Adam 1e-3, batch 32, shuffled; float32. "
    "Initial weights and shuffles are each library's own. 60% of the normal rows are learned from; AUROC and error are of "
    "the other normal rows and all anomalies. train: the epochs alone (PyOD drops the short last batch, aefast keeps it); "
    "fit: with standardisation and the scores of the training rows, which PyOD's fit computes.",
)
