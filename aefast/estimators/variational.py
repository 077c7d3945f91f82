"""The variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aefast.estimators.generative import GenerativeAutoencoder
from aefast.optimizers import Optimizer


class VariationalAutoencoder(GenerativeAutoencoder):
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
