"""The variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from aefast import random
from aefast.checks import integer
from aefast.estimators import likelihood, parameters
from aefast.estimators.base import BaseAutoencoder, lowest_where_nan
from aefast.optimizers import Optimizer


class VariationalAutoencoder(BaseAutoencoder):
    """A Gaussian code and a generative model, p(z) = N(0, I), p(x|z) = decoder(z) (Kingma & Welling 2014).

    q(z|x) = N(mu, diag exp(logvar)), [mu | logvar] = encoder(x), logvar at most 10; z = mu + exp(logvar/2) * normal.
    loss = mean over rows of sum_j l(r_j, x_j) + beta * max(KL(q(z|x) || p(z)), free_bits).

    Likelihoods: mse a Gaussian of variance 1/2, mae Laplace(1), bce Bernoulli, in scaled space; huber has none.
    Parameters are those of `Autoencoder` (without tied weights, corruption and sparsity), and

    beta : float
        Weight of the KL term (Higgins et al. 2017).
    kl_warmup_epochs : float
        beta grows to its value in a straight line over so many epochs (Sonderby et al. 2016).
    free_bits : float
        Nats of KL a row that cost nothing.
    weight_decay : default 0, so that the loss is the bound alone.
    reduction : "sum", the only one that makes the loss a bound on the likelihood.

    `transform` gives the mean mu; `score_samples` the ELBO.
    """

    variational = True
    own_options = ("beta", "kl_warmup_epochs", "free_bits")

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        hidden_layer_sizes: Sequence[int] | int | str = "auto",
        activation: str = "relu",
        output_activation: str = "auto",
        beta: float = 1.0,
        kl_warmup_epochs: float = 0.0,
        free_bits: float = 0.0,
        loss: str = "mse",
        reduction: str = "sum",
        scaling: str | None = "auto",
        optimizer: str | Optimizer = "adam",
        learning_rate: float | str = "auto",
        schedule: str = "auto",
        warmup_steps: int = 0,
        weight_decay: float | str = 0.0,
        clip_norm: float | None = None,
        ema: float | None = None,
        batch_size: int | str = "auto",
        epochs: int = 50,
        shuffle: bool = True,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        backend: str = "auto",
        dtype: str = "float32",
        n_threads: int | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.output_activation = output_activation
        self.beta = beta
        self.kl_warmup_epochs = kl_warmup_epochs
        self.free_bits = free_bits
        self.loss = loss
        self.reduction = reduction
        self.scaling = scaling
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.warmup_steps = warmup_steps
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.ema = ema
        self.batch_size = batch_size
        self.epochs = epochs
        self.shuffle = shuffle
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.backend = backend
        self.dtype = dtype
        self.n_threads = n_threads
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def sample(self, n_samples: int = 1, *, random_state: Any = None) -> NDArray[Any]:
        """(n_samples, d) new rows in X's units: the decoder's mean for codes drawn from N(0, I).

        Without random_state the model's own seed draws, so that the same call gives the same rows.
        """
        integer(1)("n_samples", n_samples)
        check_is_fitted(self, "trainer_")
        seed = self.trainer_.seed if random_state is None else parameters.seed_of(random_state)
        stream = random.stream_word(random.STREAM_SAMPLE)
        return self.inverse_transform(random.normals(seed, range(n_samples), self.n_components_, 0, stream))

    def elbo(self, X: ArrayLike, n_samples: int = 1) -> NDArray[Any]:
        """(n,) evidence lower bound of each row of X (n, d) in nats, in scaled space; the KL term in closed form.

        E_q[log p(x|z)] is the mean over n_samples draws. ValueError for loss="huber", which has no likelihood.
        """
        integer(1)("n_samples", n_samples)
        rows = self._targets(X)
        return self.trainer_.elbo(rows, n_samples)

    def log_likelihood(self, X: ArrayLike, n_importance_samples: int = 100) -> NDArray[Any]:
        """(n,) estimate of log p(x) of each row of X (n, d), nats: log mean_k p(x|z_k) p(z_k) / q(z_k|x), z_k from q.

        At least the ELBO on average, and tighter with more samples (Burda, Grosse & Salakhutdinov 2016).
        """
        integer(1)("n_importance_samples", n_importance_samples)
        rows = self._targets(X)
        return likelihood.importance_weighted(self.trainer_, rows, n_importance_samples)

    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """(n,): the ELBO of each row of X (n, d), in nats. Higher is more normal."""
        return lowest_where_nan(self.elbo(X))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.reduction != "sum":
            raise ValueError(
                f"a VariationalAutoencoder's loss is the ELBO's: reduction must be 'sum', not {self.reduction!r}"
            )
