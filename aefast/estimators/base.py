"""What all estimators share: the constructor stores, `fit` checks and builds a Trainer, everything else asks it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from aefast import activations, optimizers
from aefast.callbacks import Callback, History
from aefast.data.rows import as_weights
from aefast.data.scaling import Scaling, column_range
from aefast.estimators import parameters, training, validation
from aefast.estimators.training import Data
from aefast.regularizers import Corruption, Sparsity
from aefast.topology import Topology
from aefast.trainer import Trainer

Array = NDArray[Any]
# salt_and_pepper's two extremes in scaled space; standard: two deviations. None: those of the data.
EXTREMES: dict[str | None, tuple[float, float]] = {
    "standard": (-2.0, 2.0),
    "minmax": (0.0, 1.0),
    "pixel": (0.0, 1.0),
}


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the dense estimators; see `Autoencoder` for the parameters.

    A subclass adds its parameters, and through `own_options` and the methods below what they mean.
    """

    variational: ClassVar[bool] = False
    own_options: ClassVar[tuple[str, ...]] = ()
    """Constructor parameters of the kind that the Trainer takes under the same names."""

    n_components_: int
    hidden_layer_sizes_: tuple[int, ...]
    scaling_: Scaling
    trainer_: Trainer
    loss_curve_: list[float]
    validation_loss_curve_: list[float]
    n_iter_: int

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        *,
        sample_weight: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        callbacks: Iterable[Callback | Callable[[Any, History], object]] = (),
    ) -> Self:
        """Learns to reconstruct X (n, d): numeric, finite, dense or sparse; converted batch by batch, not copied.

        Parameters
        ----------
        X : (n, d)
            Rows to learn from.
        y : object
            Ignored; there for scikit-learn's pipelines.
        sample_weight : (n,), optional
            Not negative; a row's share in the loss and in the scaling's statistics.
        X_val : (m, d), optional
            Its loss is recorded each epoch, and early_stopping watches it. Without it, early_stopping holds out
            `validation_fraction` of X, which copies X once.
        callbacks : functions or instances of `aefast.callbacks.Callback`
            A function is called as f(estimator, history) after each epoch, history.loss and history.validation_loss being
            the curves so far; a true result stops. A Callback may also hear of steps, the start and the end.

        Raises
        ------
        TypeError, ValueError
            For parameters and data that can't be; nothing has changed then.
        """
        self._check_parameters()
        rows = validation.rows(self, X)
        weight = as_weights(sample_weight, len(rows))
        fresh = not (self.warm_start and hasattr(self, "trainer_"))
        data = Data(rows, weight)
        seed = parameters.seed_of(self.random_state)
        if X_val is not None:
            data.X_val = validation.rows(self, X_val, name="X_val")
            if data.X_val.shape[1] != rows.shape[1]:
                raise ValueError(f"X_val has {data.X_val.shape[1]} features, but X has {rows.shape[1]}")
        elif self.early_stopping:
            data = training.split(rows, weight, float(self.validation_fraction), seed)
        self._prepare(X, data, fresh, seed)
        training.run(self, data, callbacks)
        return self

    def partial_fit(self, X: ArrayLike, y: object = None, *, sample_weight: ArrayLike | None = None) -> Self:
        """One pass over X (n, d) in batches; the first call fixes sizes and scaling, later ones go on learning."""
        self._check_parameters()
        rows = validation.rows(self, X)
        weight = as_weights(sample_weight, len(rows))
        data = Data(rows, weight)
        fresh = not hasattr(self, "trainer_")
        self._prepare(X, data, fresh, parameters.seed_of(self.random_state), whole_run=False)
        self.trainer_.abandon_epoch()  # of a fit that was interrupted
        self.loss_curve_.append(float(self.trainer_.fit_epoch(rows, weight)))
        self.n_iter_ += 1
        return self

    def transform(self, X: ArrayLike) -> Array:
        """The code of X (n, d): (n, n_components), float32 (float64 for dtype="float64")."""
        rows = self._rows(X)
        return self.trainer_.encode(rows)

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Reconstructions (n, d) in X's units of codes Z (n, n_components)."""
        check_is_fitted(self, "trainer_")
        return self.trainer_.decode(validation.code_rows(self, Z, self.n_components_))

    def reconstruct(self, X: ArrayLike) -> Array:
        """X (n, d) encoded and decoded: (n, d) in X's units; inverse_transform(transform(X)) in one pass."""
        rows = self._rows(X)
        return self.trainer_.reconstruct(rows)

    def score_samples(self, X: ArrayLike) -> Array:
        """(n,): minus the reconstruction loss of each row of X (n, d), in scaled space. Higher is more normal."""
        rows = self._targets(X)
        return -self.trainer_.sample_losses(rows)

    def score(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """The (weighted) mean of `score_samples`."""
        scores = self.score_samples(X)
        return float(np.average(scores, weights=as_weights(sample_weight, len(scores))))

    @property
    def components_(self) -> Array:
        """(n_components, d): the encoder's weights, one filter a code unit; only where no hidden layer stands between."""
        check_is_fitted(self, "trainer_")
        if self.hidden_layer_sizes_ or self.variational:
            raise AttributeError(
                f"components_ needs a single encoder layer, but this {type(self).__name__} has hidden layers "
                f"{self.hidden_layer_sizes_}; trainer_.parameters holds all weights"
            )
        return np.asarray(self.trainer_.parameters["encoder.0.weight"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fitted model to a .safetensors file, which `aefast.load` reads; no pickle in it."""
        from aefast.io.models import save

        save(self, path)

    def _check_parameters(self) -> None:
        parameters.check(self.get_params(deep=False))

    def _prepare(self, X: object, data: Data, fresh: bool, seed: int, *, whole_run: bool = True) -> None:
        """Checks what depends on the data, then sets (fresh) or keeps the learned attributes.

        `whole_run`: these rows are all that there is, and the epochs are counted; not so in `partial_fit`.
        """
        if not fresh:
            validation.match(self, X, reset=False)
            self._check_targets(data, self.scaling_)
            if "auto" in (self.learning_rate, self.schedule):
                # A rate that fell to 0 at the end of the first run couldn't go on from there.
                self.trainer_.learning_rate, self.trainer_.schedule = self._rate(whole_run=False)
            return
        n, d = data.X.shape
        n_components = (
            self._auto_components(d) if isinstance(self.n_components, str) else int(self.n_components)
        )
        hidden = parameters.hidden_widths(self.hidden_layer_sizes)
        sizes = parameters.auto_hidden(d) if hidden is None else tuple(int(h) for h in hidden)
        topology = self._topology(d, n_components, sizes)
        scaling = Scaling.from_data(self._scaling_name(), data.X, data.weight)
        self._check_targets(data, scaling)
        batch = self._auto_batch(n, whole_run) if isinstance(self.batch_size, str) else int(self.batch_size)
        corruption = self._corruption(data.X)
        trainer = self.make_trainer(
            topology,
            scaling,
            corruption,
            seed=seed,
            batch_size=batch,
            weight_decay=self._decay(n, d, whole_run=whole_run),
            whole_run=whole_run,
        )
        validation.match(self, X, reset=True)
        self.n_components_, self.hidden_layer_sizes_ = n_components, sizes
        self.scaling_, self.trainer_ = scaling, trainer
        self.loss_curve_, self.validation_loss_curve_, self.n_iter_ = [], [], 0

    def make_trainer(
        self,
        topology: Topology,
        scaling: Scaling,
        corruption: Corruption | None,
        *,
        seed: int,
        batch_size: int,
        weight_decay: float,
        whole_run: bool = False,
    ) -> Trainer:
        """An untrained Trainer with this estimator's settings; `whole_run`: the number of its epochs is known."""
        same = "loss reduction optimizer warmup_steps clip_norm ema backend dtype n_threads shuffle"
        options = {name: getattr(self, name) for name in (*same.split(), *self.own_options)}
        options["learning_rate"], options["schedule"] = self._rate(whole_run=whole_run)
        return Trainer(
            topology,
            scaling=scaling,
            corruption=corruption,
            sparsity=self._sparsity(),
            seed=seed,
            batch_size=batch_size,
            weight_decay=weight_decay,
            **options,
        )

    def _topology(self, n_features: int, n_components: int, hidden: tuple[int, ...]) -> Topology:
        output = self.output_activation
        if output == "auto":
            output = "sigmoid" if self.loss == "bce" else "identity"
        if self.loss == "bce" and output != "sigmoid":
            raise ValueError(
                f"loss='bce' needs output_activation='sigmoid' (or 'auto'), but it is {output!r}"
            )
        return Topology.mlp(
            (n_features, *hidden, n_components, *hidden[::-1], n_features),
            activation=self.activation,
            latent_activation=self._latent_activation(),
            output_activation=output,
            tied_weights=getattr(self, "tied_weights", False),
            variational=self.variational,
        )

    def _rate(self, *, whole_run: bool) -> tuple[float, str]:
        """The learning rate and the schedule."""
        rule = optimizers.get(self.optimizer)
        rate, schedule = parameters.auto_rate(self.learning_rate, self.schedule, rule, whole_run)
        return (rate if rule.learning_rate is None else rule.learning_rate), schedule

    def _decay(self, n: int, d: int, *, whole_run: bool) -> float:
        """The weight decay for rows (n, d)."""
        if not isinstance(self.weight_decay, str):
            return float(self.weight_decay)
        if not whole_run:
            return 0.0
        return parameters.auto_decay(n, d, self.reduction, optimizers.get(self.optimizer))

    def _auto_batch(self, n: int, whole_run: bool) -> int:
        # Kullback-Leibler sparsity compares with the mean over a batch; a stream's pieces tell nothing about its length.
        if not whole_run or getattr(self, "sparsity", None) == "kl":
            return min(parameters.AUTO_BATCH, n)
        return parameters.auto_batch(n)

    def _auto_components(self, n_features: int) -> int:
        return parameters.auto_components(n_features)

    def _latent_activation(self) -> str:
        name: str = getattr(self, "latent_activation", "identity")
        return "identity" if name == "auto" else name

    def _scaling_name(self) -> str | None:
        if self.scaling == "auto":
            return None if self.loss == "bce" else "standard"
        name: str | None = self.scaling
        return name

    def _corruption(self, X: Array) -> Corruption | None:
        if getattr(self, "corruption", None) is None:
            return None
        extremes = EXTREMES.get(self._scaling_name())
        if extremes is None and self.corruption == "salt_and_pepper":
            low, high = column_range(X)
            extremes = float(low.min()), float(high.max())
        return Corruption(self.corruption, float(self.corruption_level), *(extremes or (0.0, 1.0)))

    def _sparsity(self) -> Sparsity | None:
        if getattr(self, "sparsity", None) is None:
            return None
        code = activations.get(self._latent_activation())
        if self.sparsity == "kl" and not (code.low >= 0 and code.high <= 1):
            raise ValueError(
                f"sparsity='kl' needs a code in (0, 1), but latent_activation={code.name!r} isn't bounded to it; "
                "choose latent_activation='sigmoid', or sparsity='l1'"
            )
        return Sparsity(self.sparsity, float(self.sparsity_weight), float(self.rho))

    def _check_targets(self, data: Data, scaling: Scaling) -> None:
        if self.loss == "bce":
            validation.unit_interval(data.X, scaling)
            if data.X_val is not None:
                validation.unit_interval(data.X_val, scaling, name="X_val")

    def _rows(self, X: Any) -> Any:
        check_is_fitted(self, "trainer_")
        rows = validation.rows(self, X)
        validation.match(self, X, reset=False)
        return rows

    def _targets(self, X: Any) -> Any:
        rows = self._rows(X)
        self._check_targets(Data(rows), self.scaling_)
        return rows

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = True
        return tags
