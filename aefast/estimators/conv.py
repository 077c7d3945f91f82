"""The convolutional autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from aefast.checks import integer
from aefast.estimators import elements, images, parameters, validation
from aefast.estimators.generative import GenerativeAutoencoder
from aefast.estimators.training import Data
from aefast.optimizers import Optimizer
from aefast.topology import Topology

Array = NDArray[Any]


class ConvAutoencoder(GenerativeAutoencoder):
    """Convolutions down to a code, and transposed convolutions back up (LeCun et al. 1998; Zeiler et al. 2010).

    map_1 = act(conv(x)), ..., z = W flatten(map) + b, and the mirror image of it; loss as `Autoencoder`, or, variational,
    as `VariationalAutoencoder`.

    X is (n, C, H, W), (n, H, W) or, by layout, (n, H, W, C); or rows (n, d) of C H W values in that order. Bytes and
    floats are converted batch by batch; only an array in memory whose images don't lie in one piece (transposed, cropped)
    is copied once. Reconstructions and samples come in the shape that X had in `fit`.

    Parameters
    ----------
    n_components : int, "auto" or None
        Width of the code. auto: min(32, max(2, ceil(d/4))). None: the last map is the code, see `code_shape_`.
    image_shape : "auto", "signal", (C, H, W) or (H, W)
        auto: from X's axes; rows (n, d) are square grey images. signal: rows are one-dimensional, (1, 1, d). Always in
        this order, whatever the layout.
    channels : tuple of int or int
        Of the maps, one convolution each, from the input's side.
    kernel_size, stride : int or (int, int)
        One number holds for both axes, but for an axis with one pixel.
    padding : "same", "valid", int, or (y, x)
        same: maps of ceil(size / stride) pixels.
    decoder : {"transpose", "resize"}
        Transposed convolutions; or nearest-neighbour upsampling and a convolution, without their checkerboards
        (Odena et al. 2016).
    pooling : {None, "max", "average"}
        Makes the maps smaller, by stride, in place of the convolutions.
    hidden_layer_sizes : tuple of int or int
        Dense layers between the last map and the code; the decoder mirrors them.
    layout : {"channels_first", "channels_last"}
        Of X.
    variational : bool
        A Gaussian code: `sample`, `elbo`, `log_likelihood`; then beta, kl_warmup_epochs, free_bits.
    latent_activation : "auto" is sigmoid for sparsity "kl", relu for other penalties, else identity.
    reduction : "auto" is "sum" for variational, else "mean".
    scaling : {"auto", "pixel", "global", "standard", "minmax", None}
        auto: pixel, x / 255, for uint8; None for values in [0, 1] and for bce; else global, one mean and one deviation for
        all pixels. standard and minmax take each pixel for itself, which is rarely wanted of images.
    weight_decay : "auto" is 0 for variational, else as `Autoencoder`.

    All others are those of `Autoencoder`.

    Attributes
    ----------
    image_shape_ : (C, H, W)
    row_shape_ : tuple of int
        Of an image in X: reconstructions have it.
    code_shape_ : (H', W', C') of the last map where it is the code, in which order a row of `transform` holds it.
    """

    auto_scaling = "global"
    own_rules = {"n_components": integer(1, "auto", None), "hidden_layer_sizes": parameters.sizes}  # noqa: RUF012
    row_shape_: tuple[int, ...]

    def __init__(
        self,
        n_components: int | str | None = "auto",
        *,
        image_shape: Sequence[int] | str = "auto",
        channels: Sequence[int] | int = (32, 64),
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 2,
        padding: str | int | Sequence[int] = "same",
        decoder: str = "transpose",
        pooling: str | None = None,
        hidden_layer_sizes: Sequence[int] | int = (),
        layout: str = "channels_first",
        activation: str = "relu",
        latent_activation: str = "auto",
        output_activation: str = "auto",
        variational: bool = False,
        beta: float = 1.0,
        kl_warmup_epochs: float = 0.0,
        free_bits: float = 0.0,
        corruption: str | None = None,
        corruption_level: float = 0.3,
        sparsity: str | None = None,
        sparsity_weight: float = 1e-3,
        rho: float = 0.05,
        loss: str = "mse",
        reduction: str = "auto",
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
        self.image_shape = image_shape
        self.channels = channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.decoder = decoder
        self.pooling = pooling
        self.hidden_layer_sizes = hidden_layer_sizes
        self.layout = layout
        self.activation = activation
        self.latent_activation = latent_activation
        self.output_activation = output_activation
        self.variational = variational
        self.beta = beta
        self.kl_warmup_epochs = kl_warmup_epochs
        self.free_bits = free_bits
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

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Images, shaped and in units as X was, of codes Z (n, n_components)."""
        return self._as_fitted(super().inverse_transform(Z))

    def reconstruct(self, X: ArrayLike) -> Array:
        """X encoded and decoded, shaped and in units as in fit; inverse_transform(transform(X)) in one pass."""
        return self._as_fitted(super().reconstruct(X))

    def denoise(self, X: ArrayLike) -> Array:
        """Noisy X without its noise, as a model fitted with `corruption` takes it for: `reconstruct`."""
        return self.reconstruct(X)

    def error_map(self, X: ArrayLike) -> Array:
        """The loss of each pixel, in scaled space, in the shape that X had in fit; the mean code's where variational.

        By `reduction`, their mean or sum is minus `score_samples` of a model that isn't variational.
        """
        rows = self._targets(X)
        return self._as_fitted(elements.losses_of(self, rows))

    @property
    def image_shape_(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        check_is_fitted(self, "trainer_")
        height, width, channels = self.trainer_.topology.layers[0].in_shape or (1, 1, self.n_features_in_)
        return channels, height, width

    @property
    def code_shape_(self) -> tuple[int, int, int]:
        """(H', W', C') of the map that is the code; AttributeError where the code is a vector."""
        check_is_fitted(self, "trainer_")
        topology = self.trainer_.topology
        shape = topology.layers[topology.n_encoder - 1].out_shape
        if shape is None:
            raise AttributeError(
                "code_shape_ is that of a map, but the code is a vector: n_components isn't None"
            )
        return shape

    @property
    def components_(self) -> Array:
        """Not there: a convolution's filters aren't of an image's size; AttributeError that says where they are."""
        raise AttributeError(
            "a ConvAutoencoder has no components_; trainer_.parameters['encoder.0.weight'] holds the filters of the first "
            "convolution, (channels, height, width, image channels)"
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.variational and self.n_components is None:
            raise ValueError(
                "a variational code is a vector: n_components must be a number or 'auto', not None"
            )
        if self.n_components is None and len(parameters.hidden_widths(self.hidden_layer_sizes) or ()):
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes} stand before a vector, but n_components=None makes the last "
                "map the code; choose one of them"
            )

    def _prepare(self, X: object, data: Data, fresh: bool, seed: int, *, whole_run: bool = True) -> None:
        super()._prepare(X, data, fresh, seed, whole_run=whole_run)
        if fresh:
            self.row_shape_ = images.axes_of(X) or (data.X.shape[1],)

    def _read(self, X: Any, *, name: str = "X") -> Any:
        return validation.rows(self, images.flattened(X, name), name=name, sparse=False)

    def _match(self, X: Any, rows: Any, *, reset: bool) -> None:
        axes = images.axes_of(X)
        if not reset:
            images.check_axes(self.image_shape_, self.layout, axes)
        validation.match(self, X if axes is None else rows, reset=reset)

    def _topology(self, X: Any, n_features: int) -> Topology:
        shape = images.image_shape(self.image_shape, self.layout, images.axes_of(X), n_features)
        return Topology.conv(
            shape,
            channels=parameters.hidden_widths(self.channels) or (),
            n_components=None if self.n_components is None else self._code_width(n_features),
            kernel_size=images.by_axis(self.kernel_size, shape),
            stride=images.by_axis(self.stride, shape),
            padding=self.padding,
            hidden_layer_sizes=self._hidden_widths(n_features),
            decoder=self.decoder,
            pooling=self.pooling,
            activation=self.activation,
            latent_activation=self._latent_activation(),
            output_activation=self._output_activation(),
            variational=self.variational,
            layout=self.layout,
        )

    def _cost(self, X: Any, n_features: int) -> float:
        return sum(map(images.multiplications, self._topology(X, n_features).layers))

    def _latent_activation(self) -> str:
        if self.latent_activation == "auto" and self.sparsity is not None:
            return parameters.sparse_activation(self.sparsity)
        return super()._latent_activation()

    def _scaling_name(self, X: Any) -> str | None:
        if self.scaling != "auto":
            return super()._scaling_name(X)
        name = images.scaling_name(X)
        return None if self.loss == "bce" and name != "pixel" else name

    def _decay(self, n: int, d: int, *, whole_run: bool) -> float:
        if self.variational and isinstance(self.weight_decay, str):
            return 0.0
        return super()._decay(n, d, whole_run=whole_run)

    def _restore_shape(self, row_shape: list[int] | None) -> None:
        shape = tuple(row_shape or ())
        if self.trainer_.topology.layers[0].in_shape is None or math.prod(shape) != self.n_features_in_:
            raise ValueError(f"images of shape {row_shape} aren't those of its topology")
        if len(shape) > 1:
            images.check_axes(self.image_shape_, self.layout, shape)
        self.row_shape_ = shape

    def _as_fitted(self, rows: Array) -> Array:
        return rows.reshape(len(rows), *self.row_shape_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags
