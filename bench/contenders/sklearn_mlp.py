"""scikit-learn's MLPRegressor as an autoencoder: an epoch a call of `partial_fit`, unshuffled, no L2 penalty.

Its output is the identity (its gradient is only right for that), its loss half the squared error, and the gradient that
of the sum over the features: Adam doesn't see such factors. It adds eps before Adam's bias corrections.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

from bench import nets


class Contender:
    def __init__(self, net: nets.Net, x: Any, option: str, backend: str) -> None:
        self.net, self.x = net, x
        self.model = MLPRegressor(
            hidden_layer_sizes=net.widths[1:-1],
            activation="relu",
            solver="adam",
            alpha=0.0,
            batch_size=net.batch,
            learning_rate_init=nets.LEARNING_RATE,
            beta_1=nets.BETA1,
            beta_2=nets.BETA2,
            epsilon=nets.EPS,
            shuffle=False,
            n_iter_no_change=np.inf,
            random_state=0,
        )
        self.model.partial_fit(x[: net.batch], x[: net.batch])  # makes coefs_ and the optimizer
        self.reset()

    def reset(self) -> None:
        model, layers = self.model, nets.initial(self.net)
        model.coefs_ = [w.T.copy() for w, _ in layers]
        model.intercepts_ = [b.copy() for _, b in layers]
        model._optimizer = AdamOptimizer(
            model.coefs_ + model.intercepts_, nets.LEARNING_RATE, nets.BETA1, nets.BETA2, nets.EPS
        )

    def versions(self) -> dict[str, str]:
        return {"scikit-learn": sklearn.__version__}

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        losses, b = [], self.net.batch
        for i in range(self.net.n_check_steps):
            batch = self.x[i * b : (i + 1) * b]
            losses.append(float(self.model.partial_fit(batch, batch).loss_))
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        params = [(w.T.copy(), b.copy()) for w, b in pairs]
        self.reset()
        return losses, params

    def run(self, n_epochs: int) -> None:
        for _ in range(n_epochs):
            self.model.partial_fit(self.x, self.x)
