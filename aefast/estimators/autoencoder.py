"""The vanilla autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aefast.estimators.base import BaseAutoencoder
from aefast.optimizers import Optimizer


class Autoencoder(BaseAutoencoder):
    """An autoencoder of dense layers, h = act(x Wᵀ + b), trained to give back its input (Rumelhart et al. 1986).

    code z = encoder(x), reconstruction r = decoder(z), loss = mean over the rows of l(r, x), x in scaled space.

    Parameters
    ----------
    n_components : int or "auto"
        Width of the code, L. auto: min(32, max(2, ceil(d/4))).
    hidden_layer_sizes : tuple of int, int or "auto"
        Widths between input and code; the decoder mirrors them. auto: one layer of 4 d units, at least 64 and at most
        512; of 256 beyond d = 256.
    activation, latent_activation, output_activation : str
        Of hidden layers, code and reconstruction: "identity", "relu", "leaky_relu", "elu", "gelu", "silu", "tanh",
        "sigmoid", "softplus". output "auto": sigmoid for bce, else identity.
    tied_weights : bool
        Decoder weights are the encoder's, transposed.
    corruption : {None, "gaussian", "masking", "salt_and_pepper"}
        Noise on the input, new each epoch, while the loss compares with the clean rows (Vincent et al. 2010).
    corruption_level : float
        Standard deviation (gaussian) or probability, in scaled space.
    sparsity : {None, "kl", "l1", "l2"}
        Penalty on the code (see `SparseAutoencoder`), times sparsity_weight; rho is kl's target.
    loss : {"mse", "bce", "mae", "huber"}
        bce takes targets in [0, 1] and a sigmoid output.
    reduction : {"mean", "sum", "auto"}
        Over batch and features; or sum over features, mean over the batch. auto: sum for variational kinds, else mean.
    scaling : {"auto", "standard", "minmax", "global", "pixel", None}
        auto: None for bce, else standard. global: one mean and one deviation for all features. pixel: x / 255. Loss,
        corruption and scores live in scaled space, reconstructions in X's units.
    optimizer : str or an `aefast.optim` dataclass
        "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lion".
    learning_rate, schedule, warmup_steps : float or "auto", str, int
        schedule: "constant", "linear", "cosine", "exponential", "step", over the epochs of one fit. Both auto: 3e-3
        falling along a cosine (adam and adamw). auto with the other chosen: a chosen rate stays constant; the rate is
        3e-3 on a schedule that falls, and 1e-3 on "constant", for other optimizers, in partial_fit and warm starts.
    weight_decay, clip_norm, ema : float or "auto", float or None, float or None
        Decay of the weights; largest norm of the gradient; decay of the averaged weights used for inference.
        weight_decay "auto": 20 / (max(n, 100) max(d, 40)), times d for reduction "sum"; 0 for optimizers that decouple
        it from the loss ("adamw", "lion") and in partial_fit.
    batch_size : int or "auto"
        auto: the power of two nearest to n / 64, from 2 to 256; in partial_fit and with sparsity "kl" min(256, n).
    epochs : int
        Most passes over the data in one fit.
    shuffle : bool
    tol, n_iter_no_change : float, int
        Training ends when the loss hasn't got better by tol times its best value for so many epochs.
    early_stopping, validation_fraction : bool, float
        Watch the loss of held-out rows instead, and keep the parameters that were best on them.
    backend : {"auto", "cpu", "numba", "numpy"}
        auto takes the first that runs here; a name never falls back in silence. `aefast.backends()` tells.
    dtype : {"float32", "float64", "bfloat16"}
        Of the arithmetic. "bfloat16" rounds what matrix products read to 8 significant bits and sums in float32; weights,
        biases, losses, gradients, optimizer state and all results are float32. Faster only on processors with AVX512-BF16.
    n_threads : int or None
    warm_start : bool
        fit goes on from the parameters, optimizer state and scaling of the last fit.
    random_state : int, RandomState or None
    verbose : int
        1 shows a progress bar.

    Attributes
    ----------
    n_components_, hidden_layer_sizes_, scaling_, trainer_, n_features_in_, feature_names_in_
    n_iter_ : int
        Epochs done, over all calls.
    loss_curve_, validation_loss_curve_ : list of float
        One value an epoch, penalties included.
    components_ : (n_components, d)
        Encoder weights, where there is no hidden layer.
    """

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        hidden_layer_sizes: Sequence[int] | int | str = "auto",
        activation: str = "relu",
        latent_activation: str = "identity",
        output_activation: str = "auto",
        tied_weights: bool = False,
        corruption: str | None = None,
        corruption_level: float = 0.3,
        sparsity: str | None = None,
        sparsity_weight: float = 1e-3,
        rho: float = 0.05,
        loss: str = "mse",
        reduction: str = "mean",
        scaling: str | None = "auto",
        optimizer: str | Optimizer = "adam",
        learning_rate: float | str = "auto",
        schedule: str = "auto",
        warmup_steps: int = 0,
        weight_decay: float | str = "auto",
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
        self.latent_activation = latent_activation
        self.output_activation = output_activation
        self.tied_weights = tied_weights
        self.corruption = corruption
        self.corruption_level = corruption_level
        self.sparsity = sparsity
        self.sparsity_weight = sparsity_weight
        self.rho = rho
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
