"""aefast's operators in PyTorch: autograd, torch.compile, memory, and errors, against PyTorch's own layers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import require

from aefast import activations, backends, losses, ops
from aefast.testing.require import skip_or_fail

torch: Any = require("torch")
import aefast.torch as at  # noqa: E402
from aefast.torch import dense, operators  # noqa: E402

F = torch.nn.functional
# The formulas of the table in PyTorch's own words.
ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda z: z,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    **{name: getattr(F, name) for name in ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus")},
}
LOSSES: dict[str, Callable[..., Any]] = {
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy_with_logits,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
}
# float64: sums of at most some hundred terms in another order. float32: the same, of numbers near 1, and elementary
# functions of a few ULP; errors are taken by norm.
TOLERANCES = {"float64": 1e-12, "float32": 2e-5}
KEEPERS = [row.name for row in activations.TABLE if row.saved == "preactivation"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=[("numpy", "float64"), ("numba", "float64"), ("cpu", "float32")], ids="-".join)
def setting(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """A backend and a dtype that it has."""
    name, dtype = request.param
    support = backends.available(name)
    if not support:
        skip_or_fail(name, support.reason)
    return name, getattr(torch, dtype)


def draw(*shape: int, dtype: Any = torch.float64, grad: bool = True, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_(grad)


def assert_close(actual: Any, expected: Any) -> None:
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    tolerance = TOLERANCES[str(actual.dtype).removeprefix("torch.")]
    scale = max(float(expected.detach().double().norm()), 1e-3)
    assert float((actual - expected).detach().double().norm()) <= tolerance * scale


def assert_same_gradients(actual: Any, expected: Any, inputs: tuple[Any, ...]) -> None:
    """Of two outputs, and of the inputs' derivatives by any weighting of them."""
    assert_close(actual, expected)
    weights = draw(*actual.shape, dtype=actual.dtype, grad=False, seed=9)
    found = torch.autograd.grad(actual, inputs, weights)
    for one, other in zip(found, torch.autograd.grad(expected, inputs, weights), strict=True):
        assert_close(one, other)


def test_the_tables_are_all_here() -> None:
    assert set(ACTIVATIONS) == set(activations.NAMES) and set(LOSSES) == set(losses.NAMES)


# ----- autograd


@pytest.mark.parametrize("activation", activations.NAMES)
@pytest.mark.parametrize("shape", [(9, 5, 7), (1, 1, 1), (33, 17, 3)], ids=str)
def test_linear_act_follows_torch(setting: Any, activation: str, shape: tuple[int, int, int]) -> None:
    backend, dtype = setting
    n, m, width = shape
    inputs = draw(n, m, dtype=dtype), draw(width, m, dtype=dtype), draw(width, dtype=dtype)
    h = at.linear_act(*inputs, activation, backend=backend)
    assert_same_gradients(h, ACTIVATIONS[activation](F.linear(*inputs)), inputs)


PAIRS = [
    (act, loss.name)
    for act in activations.NAMES
    for loss in losses.TABLE
    if not loss.on_logits or act == "sigmoid"
]


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_linear_loss_follows_torch(setting: Any, activation: str, loss: str, weighted: bool) -> None:
    backend, dtype = setting
    inputs = draw(9, 5, dtype=dtype), draw(7, 5, dtype=dtype), draw(7, dtype=dtype)
    target = torch.sigmoid(draw(9, 7, dtype=dtype, grad=False, seed=4))
    weight = draw(7, dtype=dtype, grad=False, seed=5).abs() if weighted else None
    z = F.linear(*inputs)
    r = z if loss == "bce" else ACTIVATIONS[activation](z)
    elements = LOSSES[loss](r, target, reduction="none")
    expected = (elements if weight is None else elements * weight).sum(1)
    rows = at.linear_loss(*inputs, target, activation, loss, feature_weight=weight, backend=backend)
    assert_same_gradients(rows, expected, inputs)
    with torch.no_grad():
        alone = at.linear_loss(*inputs, target, activation, loss, feature_weight=weight, backend=backend)
    assert not alone.requires_grad
    assert_close(alone, expected)


@pytest.mark.parametrize("activation", ["identity", "gelu", "silu", "tanh", "softplus"])
def test_gradcheck_of_the_dense_operators(activation: str) -> None:
    inputs = draw(4, 3), draw(5, 3), draw(5)
    assert torch.autograd.gradcheck(lambda *a: at.linear_act(*a, activation, backend="numpy"), inputs)
    target = draw(4, 5, grad=False, seed=3)
    assert torch.autograd.gradcheck(
        lambda *a: at.linear_loss(*a, target, activation, "mse", backend="numpy"), inputs
    )


# (image C, H, W; N; kernel; options), of both directions.
CONVOLUTIONS: list[tuple[tuple[int, int, int], int, tuple[int, int], dict[str, Any]]] = [
    ((2, 5, 4), 3, (3, 3), {}),
    ((1, 7, 6), 4, (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    ((4, 8, 7), 6, (3, 3), {"stride": 2, "padding": 1, "groups": 2}),
    ((2, 9, 8), 2, (2, 3), {"dilation": (2, 1), "padding": 2}),
    ((3, 1, 9), 3, (1, 3), {"stride": (1, 2), "padding": (0, 1), "groups": 3}),
]
TRANSPOSED: list[tuple[tuple[int, int, int], int, tuple[int, int], dict[str, Any]]] = [
    ((3, 3, 4), 2, (3, 3), {}),
    ((4, 3, 2), 6, (3, 2), {"stride": (2, 1), "padding": (1, 0), "output_padding": (1, 0), "groups": 2}),
    ((2, 4, 3), 1, (4, 4), {"stride": 2, "padding": 1}),
    ((2, 3, 3), 3, (2, 3), {"dilation": (2, 1), "stride": 3, "output_padding": (2, 1)}),
]
LAYOUTS = ("channels_last", "channels_first", "channels_first, in memory channels last")


def images(layout: str, c: int, h: int, w: int, dtype: Any) -> tuple[Any, Any]:
    """Images for aefast in a layout, and their (B, C, H, W) view for torch."""
    if layout == "channels_last":
        x = draw(3, h, w, c, dtype=dtype)
        return x, x.permute(0, 3, 1, 2)
    x = draw(3, c, h, w, dtype=dtype)
    if layout != "channels_first":
        x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    return x, x


@pytest.mark.parametrize("case", range(len(CONVOLUTIONS)))
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", ["identity", "gelu", "sigmoid"])
def test_conv2d_act_follows_torch(setting: Any, case: int, layout: str, activation: str) -> None:
    backend, dtype = setting
    (c, height, width), n, kernel, options = CONVOLUTIONS[case]
    x, for_torch = images(layout, c, height, width, dtype)
    w, b = draw(n, *kernel, c // options.get("groups", 1), dtype=dtype), draw(n, dtype=dtype)
    told = {"layout": layout.partition(",")[0], "backend": backend, **options}
    h = at.conv2d_act(x, w, b, activation, **told)
    expected = ACTIVATIONS[activation](F.conv2d(for_torch, w.permute(0, 3, 1, 2), b, **options))
    if layout == "channels_last":
        expected = expected.permute(0, 2, 3, 1)
    assert_same_gradients(h, expected, (x, w, b))


@pytest.mark.parametrize("case", range(len(TRANSPOSED)))
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", ["identity", "silu", "tanh"])
def test_conv_transpose2d_act_follows_torch(setting: Any, case: int, layout: str, activation: str) -> None:
    backend, dtype = setting
    (n, height, width), c, kernel, options = TRANSPOSED[case]
    x, for_torch = images(layout, n, height, width, dtype)
    w, b = draw(n, *kernel, c // options.get("groups", 1), dtype=dtype), draw(c, dtype=dtype)
    told = {"layout": layout.partition(",")[0], "backend": backend, **options}
    h = at.conv_transpose2d_act(x, w, b, activation, **told)
    expected = ACTIVATIONS[activation](F.conv_transpose2d(for_torch, w.permute(0, 3, 1, 2), b, **options))
    if layout == "channels_last":
        expected = expected.permute(0, 2, 3, 1)
    assert_same_gradients(h, expected, (x, w, b))


@pytest.mark.parametrize("padding", ["same", "valid", 2, (1, 2), ((2, 0), (0, 1))], ids=str)
def test_paddings_are_those_of_the_ops(padding: Any) -> None:
    x, w, b = draw(2, 6, 5, 3), draw(4, 3, 3, 3), draw(4)
    h = at.conv2d_act(x, w, b, padding=padding, stride=2, backend="numpy")
    arrays = (tensor.detach().numpy() for tensor in (x, w, b))
    np.testing.assert_array_equal(
        h.detach(), ops.conv2d_act(*arrays, padding=padding, stride=2, backend="numpy")
    )
    inputs = x, w, b
    assert torch.autograd.gradcheck(
        lambda *a: at.conv2d_act(*a, "tanh", padding=padding, stride=2, backend="numpy"), inputs
    )


@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, False, True)], ids=str
)
def test_only_what_is_asked_for_gets_a_gradient(wanted: tuple[bool, ...]) -> None:
    for call, shapes in (
        (lambda *a: at.linear_act(*a, "gelu", backend="numpy"), ((4, 3), (5, 3), (5,))),
        (lambda *a: at.linear_loss(*a, torch.zeros(4, 5).double(), backend="numpy"), ((4, 3), (5, 3), (5,))),
        (lambda *a: at.conv2d_act(*a, "relu", backend="numpy"), ((2, 4, 4, 3), (2, 3, 3, 3), (2,))),
    ):
        inputs = [draw(*shape, grad=grad) for shape, grad in zip(shapes, wanted, strict=True)]
        call(*inputs).sum().backward()
        assert [tensor.grad is not None for tensor in inputs] == list(wanted)
        everything = [tensor.detach().requires_grad_() for tensor in inputs]
        call(*everything).sum().backward()
        for one, all_ in zip(inputs, everything, strict=True):
            assert one.grad is None or torch.equal(one.grad, all_.grad)


def test_bits_are_those_of_the_ops(setting: Any) -> None:
    backend, dtype = setting
    x, w, b = draw(9, 5, dtype=dtype), draw(7, 5, dtype=dtype), draw(7, dtype=dtype)
    grad = draw(9, 7, dtype=dtype, grad=False, seed=2)
    h = at.linear_act(x, w, b, backend=backend)
    h.backward(grad)
    arrays = [tensor.detach().numpy() for tensor in (x, w, b, grad)]
    np.testing.assert_array_equal(h.detach(), ops.linear_act(*arrays[:3], backend=backend))
    dw, db = ops.linear_wgrad(arrays[3], arrays[0], backend=backend)
    for tensor, expected in ((x, ops.linear_dgrad(arrays[3], arrays[1], backend=backend)), (w, dw), (b, db)):
        np.testing.assert_array_equal(tensor.grad, expected)
    target = draw(9, 7, dtype=dtype, grad=False, seed=4)
    rows = at.linear_loss(x, w, b, target, "tanh", "mse", backend=backend)
    with torch.no_grad():
        alone = at.linear_loss(x, w, b, target, "tanh", "mse", backend=backend)
    np.testing.assert_array_equal(rows.detach(), alone)
    np.testing.assert_array_equal(
        alone, ops.linear_loss(*arrays[:3], target.numpy(), "tanh", "mse", backend=backend)
    )


# ----- memory


STRIDED: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda t: t.t().contiguous().t(),
    "every other column": lambda t: torch.stack((t, t), -1)[..., 0],
    "wider rows": lambda t: torch.cat((t, t), -1)[:, : t.shape[1]],
    "rows repeated": lambda t: t[:1].expand(t.shape),
}


@pytest.mark.parametrize("strided", STRIDED)
@pytest.mark.parametrize("which", ["x", "w", "target", "grad"])
def test_strides_of_every_kind(setting: Any, strided: str, which: str) -> None:
    backend, dtype = setting
    tensors = {
        "x": draw(9, 5, dtype=dtype, grad=False),
        "w": draw(7, 5, dtype=dtype, grad=False),
        "target": draw(9, 7, dtype=dtype, grad=False),
        "grad": draw(9, 7, dtype=dtype, grad=False, seed=1),
    }
    b = draw(7, dtype=dtype, grad=False)
    tensors[which] = STRIDED[strided](tensors[which])
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    found = []
    for t in (tensors, plain):
        x, w = t["x"].detach().requires_grad_(), t["w"].detach().requires_grad_()
        h = at.linear_act(x, w, b, "silu", backend=backend)
        rows = at.linear_loss(x, w, b, t["target"], "tanh", backend=backend)
        found.append((h, rows, *torch.autograd.grad(h, (x, w), t["grad"], retain_graph=True)))
        found[-1] += torch.autograd.grad(rows, (x, w), b[:1].expand(9))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_bias_of_strides() -> None:
    x, w, b = draw(9, 5), draw(7, 5), draw(14)
    assert torch.equal(
        at.linear_act(x, w, b[::2], backend="numpy"),
        at.linear_act(x, w, b[::2].contiguous(), backend="numpy"),
    )


def test_the_kernels_read_and_write_the_tensors_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, b = draw(9, 5), draw(7, 5), draw(7)
    seen: list[Any] = []
    real = ops.linear_act

    def watched(*arrays: Any, **options: Any) -> Any:
        seen.extend((*arrays[:3], options["out"], options["pre"]))
        return real(*arrays, **options)

    monkeypatch.setattr(dense.ops, "linear_act", watched)
    h, pre = torch.ops.aefast.linear_act(x, w, b, "gelu", True, "numpy")
    assert [array.ctypes.data for array in seen] == [tensor.data_ptr() for tensor in (x, w, b, h, pre)]
    # A tied weight, the transposed view, is read as it lies.
    view = w.detach().t()
    assert operators.matrix("op", "w", view).ctypes.data == w.data_ptr()


def test_images_in_memory_channels_last_stay_so() -> None:
    w, b = draw(4, 3, 3, 3), draw(4)
    x = draw(2, 3, 6, 5)
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    for tensor, order in ((x, torch.contiguous_format), (last, torch.channels_last)):
        h = at.conv2d_act(tensor, w, b, "gelu", layout="channels_first", backend="numpy")
        assert h.is_contiguous(memory_format=order)
        (dx,) = torch.autograd.grad(h.sum(), tensor)
        assert dx.is_contiguous(memory_format=order)


# ----- operators and torch.compile


def samples(dtype: Any) -> dict[str, list[tuple[Any, ...]]]:
    def t(*shape: int, grad: bool = False) -> Any:
        return draw(*shape, dtype=dtype, grad=grad)

    conv = [2, 1], [1, 0, 1, 2], [0, 0], [1, 1], 1
    same = [2, 2], [], [0, 0], [1, 1], 2
    transposed = [2, 1], [1, 0], [1, 0], [1, 1], 1
    backend = "cpu" if dtype == torch.float32 and backends.available("cpu") else "numpy"
    first = "channels_first", backend
    last = "channels_last", backend
    layer = t(6, 3, grad=True), t(5, 3, grad=True), t(5, grad=True)
    image = t(2, 7, 6, 4, grad=True), t(6, 3, 3, 4, grad=True), t(6, grad=True)
    nchw = t(2, 4, 7, 6).to(memory_format=torch.channels_last).requires_grad_()
    map_ = t(2, 3, 4, 3, grad=True), t(3, 3, 2, 2, grad=True), t(2, grad=True)
    return {
        "linear_act": [(*layer, act, act in KEEPERS, backend) for act in ("identity", "relu", "gelu")],
        "linear_dgrad": [(t(6, 5), t(5, 3), backend)],
        "linear_wgrad": [(t(6, 5), t(6, 3), backend)],
        "act_dgrad": [(t(6, 5), t(6, 5), "tanh", backend), (t(2, 4, 7, 6), nchw.detach(), "elu", backend)],
        "linear_loss": [
            (*layer, t(6, 5), "tanh", "mse", None, True, backend),
            (*layer, t(6, 5), "tanh", "huber", t(5).abs(), True, backend),
        ],
        "conv2d_act": [
            (*image, "gelu", True, *conv, *last),
            (nchw, t(6, 3, 3, 2, grad=True), image[2], "relu", False, *same, *first),
            (image[0].detach(), *(i.detach() for i in image[1:]), "silu", False, *conv, *last),
        ],
        "conv2d_dgrad": [(t(2, 3, 7, 6), image[1].detach(), [7, 6], *conv, *last)],
        "conv2d_wgrad": [(t(2, 3, 7, 6), image[0].detach(), [3, 3], *conv, *last)],
        "conv_transpose2d_act": [(*map_, "silu", True, *transposed, *last)],
        "conv_transpose2d_dgrad": [(t(2, 6, 5, 2), map_[1].detach(), [3, 4], *transposed, *last)],
        "conv_transpose2d_wgrad": [(t(2, 6, 5, 2), map_[0].detach(), [3, 2], *transposed, *last)],
    }


@pytest.mark.parametrize("name", operators.OPERATORS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_opcheck(name: str, dtype: str) -> None:
    for arguments in samples(getattr(torch, dtype))[name]:
        # all of torch.library's checks: schema, autograd registration, fake tensors, AOT dispatch with dynamic shapes
        torch.library.opcheck(operators.OPERATORS[name], arguments)


def net(x: Any, parameters: list[Any]) -> Any:
    """Row losses of an autoencoder with a convolution before and a transposed one behind the code."""
    w0, b0, w1, b1, w2, b2, w3, b3 = parameters
    maps = at.conv2d_act(x, w0, b0, "silu", stride=2, padding="same")
    code = at.linear_act(maps.flatten(1), w1, b1, "tanh")
    maps = at.linear_act(code, w2, b2, "relu").reshape(maps.shape)
    out = at.conv_transpose2d_act(maps, w3, b3, stride=2, padding=1, output_padding=1)
    eye = torch.eye(36, dtype=x.dtype)
    return at.linear_loss(out.flatten(1), eye, torch.zeros(36, dtype=x.dtype), x.flatten(1), "sigmoid", "bce")


def net_parameters() -> list[Any]:
    shapes = (4, 3, 3, 1), (4,), (5, 36), (5,), (36, 5), (36,), (4, 3, 3, 1), (1,)
    return [draw(*shape, dtype=torch.float32, seed=i) for i, shape in enumerate(shapes)]


def compiled_equals_eager(engine: str, **options: Any) -> None:
    torch._dynamo.reset()
    parameters, compiled = net_parameters(), torch.compile(net, fullgraph=True, backend=engine, **options)
    for batch in (5, 8, 8):
        x = torch.rand((batch, 6, 6, 1), generator=torch.Generator().manual_seed(batch))
        found = []
        for function in (net, compiled):
            rows = function(x, parameters)
            found.append((rows.detach(), *torch.autograd.grad(rows.mean(), parameters)))
        for one, other in zip(*found, strict=True):
            assert_close(other, one)
    with torch.no_grad():
        assert_close(compiled(x, parameters), rows)


@pytest.mark.parametrize("dynamic", [False, True, None], ids=["static", "dynamic", "automatic"])
def test_compiled_without_a_break_equals_eager(dynamic: bool | None) -> None:
    compiled_equals_eager("aot_eager", dynamic=dynamic)


@pytest.mark.slow
def test_inductor_equals_eager() -> None:
    import shutil

    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        skip_or_fail("compiler", "torch.compile's inductor needs one for C++")
    compiled_equals_eager("inductor")


def test_a_training_run_follows_the_same_net_in_torch() -> None:
    generator = torch.Generator().manual_seed(3)
    X = torch.rand((160, 12), generator=generator)
    shapes = (8, 12), (8,), (3, 8), (3,), (8, 3), (8,), (12, 8), (12,)
    start = [(torch.rand(shape, generator=generator) - 0.5) * 0.8 for shape in shapes]

    def ours(x: Any, p: list[Any]) -> Any:
        code = at.linear_act(at.linear_act(x, p[0], p[1], "gelu"), p[2], p[3])
        h = at.linear_act(code, p[4], p[5], "silu")
        return at.linear_loss(h, p[6], p[7], x, "sigmoid", "bce").mean()

    def theirs(x: Any, p: list[Any]) -> Any:
        code = F.linear(F.gelu(F.linear(x, p[0], p[1])), p[2], p[3])
        z = F.linear(F.silu(F.linear(code, p[4], p[5])), p[6], p[7])
        return F.binary_cross_entropy_with_logits(z, x, reduction="none").sum(1).mean()

    curves, ends = [], []
    for function in (ours, theirs):
        parameters = [tensor.clone().requires_grad_() for tensor in start]
        optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
        curve = []
        for _ in range(5):
            for batch in X.split(32):
                optimizer.zero_grad()
                loss = function(batch, parameters)
                loss.backward()
                optimizer.step()
                curve.append(loss.item())
        curves.append(curve)
        ends.append(torch.cat([tensor.detach().flatten() for tensor in parameters]))
    assert curves[0][-1] < curves[0][0]
    np.testing.assert_allclose(*curves, rtol=1e-4)
    moved = ends[1] - torch.cat([tensor.flatten() for tensor in start])
    assert float((ends[0] - ends[1]).norm() / moved.norm()) < 1e-3


# ----- errors


def f32(*shape: int, grad: bool = False) -> Any:
    return draw(*shape, dtype=torch.float32, grad=grad)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: at.linear_act(f32(2, 3), f32(4, 3), f32(4), "rellu"),
            ValueError,
            "did you mean|Did you mean 'relu'",
        ),
        (lambda: at.linear_act(f32(2, 3), f32(4, 2), f32(4)), ValueError, r"x must have shape \(any, 2\)"),
        (
            lambda: at.linear_act(f32(2, 3), f32(4, 3).double(), f32(4)),
            TypeError,
            "w must have dtype float32",
        ),
        (lambda: at.linear_act(f32(2, 3), f32(4, 3), f32(5)), ValueError, r"b must have shape \(4\)"),
        (lambda: at.linear_act(f32(3), f32(4, 3), f32(4)), ValueError, "x must have shape"),
        (
            lambda: at.linear_act(f32(2, 3).bfloat16(), f32(4, 3), f32(4)),
            TypeError,
            r"x as a dense tensor of float32 or float64, but it is one of torch.bfloat16",
        ),
        (
            lambda: at.linear_act(f32(2, 3), f32(4, 3), f32(4), backend="cuda"),
            ValueError,
            "backend 'cuda'",
        ),
        (
            lambda: at.linear_loss(f32(2, 3), f32(4, 3), f32(4), f32(2, 4, grad=True)),
            ValueError,
            "target requires grad",
        ),
        (
            lambda: at.linear_loss(f32(2, 3), f32(4, 3), f32(4), f32(2, 4), feature_weight=f32(4, grad=True)),
            ValueError,
            "feature_weight requires grad",
        ),
        (
            lambda: at.linear_loss(f32(2, 3), f32(4, 3), f32(4), f32(2, 4), "tanh", "bce"),
            ValueError,
            "activation must be 'sigmoid'",
        ),
        (
            lambda: at.linear_loss(f32(2, 3), f32(4, 3), f32(4), f32(2, 5)),
            ValueError,
            r"target must have shape \(2, 4\)",
        ),
        (
            lambda: at.conv2d_act(f32(2, 5, 5), f32(4, 3, 3, 1), f32(4)),
            ValueError,
            r"x must have shape \(B, H, W, C\)",
        ),
        (
            lambda: at.conv2d_act(f32(2, 5, 5, 2), f32(4, 3, 3, 1), f32(4)),
            ValueError,
            "x has 2 channels, but w",
        ),
        (lambda: at.conv2d_act(f32(2, 5, 5, 1), f32(4, 3), f32(4)), ValueError, "w must have shape"),
        (
            lambda: at.conv2d_act(f32(2, 5, 5, 1), f32(4, 3, 3, 1), f32(4), padding=(1, 2, 3)),
            ValueError,
            "padding must be",
        ),
        (
            lambda: at.conv2d_act(f32(2, 5, 5, 1), f32(4, 3, 3, 1), f32(4), layout="NCHW"),
            ValueError,
            "layout",
        ),
        (
            lambda: at.conv_transpose2d_act(f32(2, 5, 5, 3), f32(4, 3, 3, 1), f32(1)),
            ValueError,
            "x has 3 channels, but w takes 4",
        ),
        (
            lambda: torch.ops.aefast.linear_act(
                f32(2, 3, grad=True), f32(4, 3), f32(4), "gelu", False, "auto"
            ),
            RuntimeError,
            "keep=True",
        ),
    ],
)
def test_what_can_not_be_is_named(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_a_second_derivative_is_refused(activation: str) -> None:
    x = draw(4, 3)
    h = at.linear_act(x, draw(5, 3), draw(5), activation, backend="numpy")
    (dx,) = torch.autograd.grad(h.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        dx.sum().backward()


def test_meta_tensors_have_shapes() -> None:
    x, w, b = (f32(*shape).to("meta") for shape in ((2, 3), (4, 3), (4,)))
    h = at.linear_act(x, w, b, "gelu")
    assert h.shape == (2, 4) and h.device.type == "meta"


def test_other_devices_are_refused() -> None:
    # The meta device stands for all others: aefast.ops has no fake kernels.
    with pytest.raises(
        backends.BackendUnavailableError,
        match=r"x on device 'meta'; give x\.cpu\(\)",
    ):
        ops.linear_act(f32(2, 3).to("meta"), f32(4, 3), f32(4))


def test_without_torch_the_error_says_so() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import aefast\n"
        "try: aefast.torch\n"
        "except ModuleNotFoundError as error: print(error.name, error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert found.stdout.startswith("torch aefast.torch needs PyTorch"), found.stderr
    code = "import sys, aefast, aefast.ops; from aefast import *; print('torch' in sys.modules); aefast.torch.linear_act"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert found.stdout == "False\n" and not found.returncode, found.stderr
