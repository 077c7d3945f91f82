"""What an estimator with a Gaussian code can do besides: make up rows, and bound their likelihood."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from aefast import random
from aefast.checks import integer
from aefast.estimators import likelihood, parameters
from aefast.estimators.base import BaseAutoencoder, lowest_where_nan


class GenerativeAutoencoder(BaseAutoencoder):
    """Base of the kinds that are, or can be, variational; where `variational` is false, its methods are ValueErrors."""

    own_options = ("beta", "kl_warmup_epochs", "free_bits")

    def sample(self, n_samples: int = 1, *, random_state: Any = None) -> NDArray[Any]:
        """n_samples new rows, shaped and in units as X was: the decoder's mean for codes drawn from N(0, I).

        Without random_state the model's own seed draws, so that the same call gives the same rows. MemoryError for more than
        fit into memory.
        """
        integer(1)("n_samples", n_samples)
        check_is_fitted(self, "trainer_")
        self._need_variational("sample")
        seed = self.trainer_.seed if random_state is None else parameters.seed_of(random_state)
        stream = random.stream_word(random.STREAM_SAMPLE)
        try:
            return self.inverse_transform(
                random.normals(seed, range(n_samples), self.n_components_, 0, stream)
            )
        except MemoryError:
            raise MemoryError(
                f"n_samples={n_samples} samples of {self.n_features_in_} features don't fit into memory; draw fewer at a time, "
                "each time with another random_state"
            ) from None

    def elbo(self, X: ArrayLike, n_samples: int = 1) -> NDArray[Any]:
        """(n,) evidence lower bound of each row of X (n, d) in nats, in scaled space; the KL term in closed form.

        E_q[log p(x|z)] is the mean over n_samples draws. ValueError for loss="huber", which has no likelihood.
        """
        integer(1)("n_samples", n_samples)
        rows = self._targets(X)
        self._need_variational("elbo")
        return self.trainer_.elbo(rows, n_samples)

    def log_likelihood(self, X: ArrayLike, n_importance_samples: int = 100) -> NDArray[Any]:
        """(n,) estimate of log p(x) of each row of X (n, d), nats: log mean_k p(x|z_k) p(z_k) / q(z_k|x), z_k from q.

        At least the ELBO on average, and tighter with more samples (Burda, Grosse & Salakhutdinov 2016).
        """
        integer(1)("n_importance_samples", n_importance_samples)
        rows = self._targets(X)
        self._need_variational("log_likelihood")
        return likelihood.importance_weighted(self.trainer_, rows, n_importance_samples)

    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """(n,): the ELBO of each row of X (n, d), in nats. Higher is more normal."""
        check_is_fitted(self, "trainer_")
        generative = self.trainer_.topology.variational
        return lowest_where_nan(self.elbo(X)) if generative else super().score_samples(X)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.variational and self._reduction() != "sum":
            raise ValueError(
                f"a variational {type(self).__name__}'s loss is the ELBO's: reduction must be 'sum', not "
                f"{self.reduction!r}"
            )

    def _need_variational(self, method: str) -> None:
        if not self.trainer_.topology.variational:
            raise ValueError(
                f"{method} needs a Gaussian code, which this {type(self).__name__} doesn't have; fit one with "
                "variational=True"
            )
