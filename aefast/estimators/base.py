"""What all estimators share: the constructor stores, `fit` checks and builds a Trainer, everything else asks it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from aefast.callbacks import Callback, History, as_callbacks
from aefast.data.rows import as_weights
from aefast.data.scaling import Scaling
from aefast.estimators import parameters, training, validation
from aefast.estimators.recipe import Recipe
from aefast.estimators.training import Data
from aefast.loop import finish
from aefast.trainer import Trainer

Array = NDArray[Any]


def lowest_where_nan(scores: Array) -> Array:
    """The scores; a row so far out that its loss overflowed is the least normal of all, not one without a place."""
    return np.where(np.isnan(scores), -np.inf, scores).astype(scores.dtype)


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Recipe):  # type: ignore[misc]
    """Base of the estimators; see `Autoencoder` for the parameters.

    A subclass adds its parameters, and through `own_options` and the methods below what they mean.
    """

    n_components_: int
    hidden_layer_sizes_: tuple[int, ...]
    scaling_: Scaling
    trainer_: Trainer
    loss_curve_: list[float]
    validation_loss_curve_: list[float]
    n_iter_: int
    _fitted_parameters: dict[str, Any]
    """The constructor's parameters as the last fit found them: what the trainer was made from."""

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
            For parameters and data that can't be. Whatever is raised before the first step, also by Ctrl-C: the estimator is
            as it was. Afterwards it holds what was learned so far.
        """
        self._check_parameters()
        watchers = as_callbacks(callbacks)
        data = training.read(self, X, sample_weight, X_val)
        seed = parameters.seed_of(self.random_state)
        finish(self._fitting(X, training.with_held_out(self, data, seed), watchers, seed))
        return self

    def _fitting(
        self, X: object, data: Data, watchers: list[Callback], seed: int
    ) -> Generator[None, None, None]:
        """`fit` on checked input, pausing as `loop.passes` does."""
        fresh = not self._learns_on()
        before = dict(vars(self))
        n_steps = 0 if fresh else self.trainer_.n_steps
        try:
            self._prepare(X, data, fresh, seed)
            yield from training.passes(self, data, watchers)
        except BaseException:
            if not hasattr(self, "trainer_") or self.trainer_.n_steps == n_steps:
                self.__dict__.clear()
                self.__dict__.update(before)
            raise

    def _learns_on(self) -> bool:
        """Whether fit goes on from what an earlier one has learned."""
        return bool(self.warm_start) and hasattr(self, "trainer_")

    def partial_fit(self, X: ArrayLike, y: object = None, *, sample_weight: ArrayLike | None = None) -> Self:
        """One pass over X (n, d) in batches; the first call fixes sizes and scaling, later ones go on learning."""
        self._check_parameters()
        rows = self._read(X)
        weight = as_weights(sample_weight, len(rows))
        data = Data(rows, weight)
        fresh = not hasattr(self, "trainer_")
        self._prepare(X, data, fresh, parameters.seed_of(self.random_state), whole_run=False)
        self.trainer_.claim()
        try:
            self.trainer_.abandon_epoch()  # of a fit that was interrupted
            self.loss_curve_.append(self.trainer_.run_epoch(rows, weight))
        finally:
            self.trainer_.claimed = 0
        if self.validation_loss_curve_:
            self.validation_loss_curve_.append(math.nan)
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
        return lowest_where_nan(-self.trainer_.sample_losses(rows))

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
        """Writes the model, with the parameters that it was fitted with, to a .safetensors file; `aefast.load` reads it.

        No pickle in it. Raises TypeError for what such a file can't hold, OSError where it can't be written.
        """
        from aefast.io.models import save

        save(self, path)

    def _check_parameters(self) -> None:
        parameters.check(self.get_params(deep=False), self.own_rules)

    def _prepare(self, X: object, data: Data, fresh: bool, seed: int, *, whole_run: bool = True) -> None:
        """Checks what depends on the data, then sets (fresh) or keeps the learned attributes.

        `whole_run`: these rows are all that there is, and the epochs are counted; not so in `partial_fit`.
        """
        if not fresh:
            self._match(X, data.X, reset=False)
            parameters.check_unchanged(self, self._fitted_parameters)
            self._check_targets(data, self.scaling_)
            trainer = self.trainer_
            # An "auto" rate that fell to 0 at the end of the first run couldn't go on from there.
            trainer.learning_rate, trainer.schedule = self._rate(whole_run=False)
            trainer.warmup_steps, trainer.clip_norm = self.warmup_steps, self.clip_norm
            trainer.shuffle = bool(self.shuffle)
            if not isinstance(self.batch_size, str):
                trainer.batch_size = int(self.batch_size)
            trainer.set_num_threads(self.n_threads)
            self._fitted_parameters = self.get_params(deep=False)
            return
        n, d = data.X.shape
        topology = self._topology(X, d)
        scaling = data.scaling(self._scaling_name(data.X))
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
        self._match(X, data.X, reset=True)
        self.n_components_, self.hidden_layer_sizes_ = topology.n_components, self._hidden_widths(d)
        self.scaling_, self.trainer_ = scaling, trainer
        self.loss_curve_, self.validation_loss_curve_, self.n_iter_ = [], [], 0
        self._fitted_parameters = self.get_params(deep=False)

    def _check_targets(self, data: Data, scaling: Scaling) -> None:
        loss = (
            self.trainer_.settings.loss
            if hasattr(self, "trainer_") and scaling is self.scaling_
            else self.loss
        )
        if loss == "bce":
            validation.unit_interval(data.X, scaling)
            if data.X_val is not None:
                validation.unit_interval(data.X_val, scaling, name="X_val")

    def _read(self, X: Any, *, name: str = "X") -> Any:
        """X as rows (n, d), checked; what an estimator takes besides tables is here."""
        return validation.rows(self, X, name=name)

    def _match(self, X: Any, rows: Any, *, reset: bool) -> None:
        """Takes the features of X, whose rows are given, or holds them against those of fit."""
        validation.match(self, X, reset=reset)

    def _restore_shape(self, row_shape: list[int] | None) -> None:
        """Takes what a file says of the shape of a row of X; only images have one."""
        if row_shape is not None:
            raise ValueError(f"a {type(self).__name__} has no row_shape")

    def _rows(self, X: Any) -> Any:
        check_is_fitted(self, "trainer_")
        rows = self._read(X)
        self._match(X, rows, reset=False)
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
