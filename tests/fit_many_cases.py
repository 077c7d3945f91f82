"""What the tests of fit_many share: data, estimators of every kind, and all that a fit leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import Autoencoder, DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder, backends

RNG = np.random.default_rng(3)
X = RNG.standard_normal((501, 3)) @ RNG.standard_normal((3, 11)) + 0.2 * RNG.standard_normal((501, 11))
X_VAL = X[::9] + 0.1
WEIGHTS = np.linspace(0.0, 2.0, len(X))
BACKEND = "cpu" if backends.available("cpu") else "numpy"


def mixed(**changes: Any) -> list[Any]:
    """Kinds, sizes, seeds, batches and penalties; several read alike, and so take turns on shared rows."""
    common = {"epochs": 4, "backend": BACKEND, **changes}
    seeds = np.random.RandomState(7)  # drawn from by several, in their order
    return [
        Autoencoder(2, hidden_layer_sizes=(), random_state=0, batch_size=64, **common),
        Autoencoder(3, hidden_layer_sizes=(7,), random_state=0, batch_size=64, tied_weights=True, **common),
        DenoisingAutoencoder(3, random_state=0, batch_size=64, **common),
        DenoisingAutoencoder(2, random_state=0, batch_size=64, corruption="masking", **common),
        SparseAutoencoder(4, random_state=0, batch_size=64, **common),
        VariationalAutoencoder(2, random_state=0, batch_size=64, **common),
        Autoencoder(4, random_state=0, batch_size=64, scaling="minmax", loss="mae", **common),
        Autoencoder(2, random_state=1, batch_size=500, **common),
        Autoencoder(3, random_state=1, batch_size=500, ema=0.9, clip_norm=0.5, **common),
        Autoencoder(2, random_state=seeds, **common),
        Autoencoder(2, random_state=seeds, shuffle=False, **common),
        Autoencoder(2, random_state=5, early_stopping=True, n_iter_no_change=1, **{**common, "epochs": 9}),
        Autoencoder(3, random_state=5, early_stopping=True, n_iter_no_change=1, **{**common, "epochs": 9}),
        Autoencoder(3, random_state=5, tol=0.5, n_iter_no_change=1, **common),
    ]


def learned(model: Any) -> dict[str, Any]:
    """All that a fit leaves behind, but for who it is."""
    trainer = model.trainer_
    return {
        **{name: flat.tobytes() for name, flat in trainer.flat_buffers.items()},
        "curves": (model.loss_curve_, [repr(v) for v in model.validation_loss_curve_]),
        "counts": (model.n_iter_, trainer.n_steps, trainer.epoch, trainer.position, trainer.seed),
        "names": (model.n_features_in_, list(getattr(model, "feature_names_in_", ()))),
        "scaling": [None if a is None else a.tobytes() for a in (model.scaling_.shift, model.scaling_.scale)],
    }


def one_by_one(models: list[Any], data: Any, **options: Any) -> list[dict[str, Any]]:
    return [learned(model.fit(data, **options)) for model in models]


def long_models() -> list[Any]:
    options: dict[str, Any] = {"epochs": 10**6, "tol": 0, "n_iter_no_change": 10**6, "batch_size": 8}
    options |= {"backend": BACKEND, "schedule": "constant", "hidden_layer_sizes": ()}
    return [Autoencoder(2, random_state=i // 2, **options) for i in range(6)]
