"""Keras 3 on its JAX backend: `fit` over arrays in memory, unshuffled, jit-compiled.

The check's losses come from `train_on_batch`, which runs the same compiled step and tells each batch's own loss. Keras
adds eps before Adam's bias corrections.
"""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np

from bench import nets


class Contender:
    def __init__(self, net: nets.Net, x: Any, option: str, backend: str) -> None:
        self.net, self.x = net, x
        widths = net.widths
        layers = [keras.layers.Dense(n, activation="relu") for n in widths[1:-1]]
        layers.append(keras.layers.Dense(widths[-1], activation="sigmoid"))
        self.model = keras.Sequential([keras.Input((widths[0],)), *layers])
        optimizer = keras.optimizers.Adam(nets.LEARNING_RATE, nets.BETA1, nets.BETA2, epsilon=nets.EPS)
        self.model.compile(optimizer=optimizer, loss="mean_squared_error", jit_compile=True)
        optimizer.build(self.model.trainable_variables)
        self.reset()

    def reset(self) -> None:
        self.model.set_weights([a for w, b in nets.initial(self.net) for a in (w.T.copy(), b)])
        for variable in self.model.optimizer.variables:
            if variable.path != self.model.optimizer.learning_rate.path:
                variable.assign(np.zeros(variable.shape))

    def versions(self) -> dict[str, str]:
        return {"keras": keras.__version__, "keras backend": f"{keras.backend.backend()} {jax.__version__}"}

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        b = self.net.batch
        batches = [self.x[i * b : (i + 1) * b] for i in range(self.net.n_check_steps)]
        losses = [float(np.ravel(self.model.train_on_batch(batch, batch))[0]) for batch in batches]
        flat = self.model.get_weights()
        params = [(w.T.copy(), b) for w, b in zip(flat[::2], flat[1::2], strict=True)]
        self.reset()
        return losses, params

    def run(self, n_epochs: int) -> None:
        self.model.fit(self.x, self.x, batch_size=self.net.batch, epochs=n_epochs, shuffle=False, verbose=0)
        jax.block_until_ready([variable.value for variable in self.model.trainable_variables])
