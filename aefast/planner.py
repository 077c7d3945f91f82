"""Topology + settings + batch size -> the plan: which op runs when, on which buffer."""

from __future__ import annotations

from typing import Any

from aefast import activations, losses, optimizers, random, regularizers
from aefast.layers import POOL_CODES, AnyLayer, Layer, Pool2d
from aefast.memory import Memory
from aefast.plan import Call, Phase, PhaseKind, Plan, Purpose, Ref, Settings, Space
from aefast.topology import Topology


class Builder:
    """One method a purpose; each returns its phases as (kind, calls)."""

    def __init__(self, topology: Topology, settings: Settings, batch: int) -> None:
        self.topology = topology
        self.settings = settings
        self.memory = Memory(batch)
        self.inputs: dict[str, Ref] = {}
        self.outputs: dict[str, Ref] = {}
        self.preactivations: dict[str, Ref] = {}

    # The five purposes -------------------------------------------------------------------------------------------

    def encode(self) -> list[tuple[PhaseKind, list[Call]]]:
        """Rows to codes."""
        calls, moments = self._encoder(self._gather("input", self.topology.n_features))
        self.memory.buffers["code"] = (
            moments.columns(0, self.topology.n_components) if self.topology.variational else moments
        )
        return [("rows", calls)]

    def decode(self) -> list[tuple[PhaseKind, list[Call]]]:
        """Codes to reconstructions."""
        calls = self._gather("code", self.topology.n_components)
        return [("rows", calls + self._decoder(self.memory.buffers["code"], "reconstruction"))]

    def reconstruct(self) -> list[tuple[PhaseKind, list[Call]]]:
        """Rows to reconstructions, through the mean code."""
        calls, moments = self._encoder(self._gather("input", self.topology.n_features))
        latent, code = self._latent(moments, -1)
        return [("rows", calls + latent + self._decoder(code, "reconstruction"))]

    def loss(self) -> list[tuple[PhaseKind, list[Call]]]:
        """Rows to reconstruction losses, KL terms and codes."""
        calls, moments = self._encoder(self._gather("input", self.topology.n_features))
        latent, code = self._latent(moments, random.stream_word(random.STREAM_EVALUATE))
        self.memory.buffers["code"] = code
        return [("rows", calls + latent + self._decoder(code, None))]

    def train(self) -> list[tuple[PhaseKind, list[Call]]]:
        """Forward, backward, gradients and update of one batch."""
        s, memory = self.settings, self.memory
        batch_scale = memory.per_row("batch_scale")
        weights = [Call("batch_scale", {"out": batch_scale})]
        gather = self._gather("input", self.topology.n_features)
        encode, moments = self._encoder(gather)
        latent, code = self._latent(moments, random.stream_word(random.STREAM_LATENT))
        penalty, penalty_backward, extra = self._penalty(code, batch_scale)
        decode = self._decoder(code, None, batch_scale)
        backward = self._backward(extra, batch_scale)
        scale = losses.element_scale(s.reduction, self.topology.n_features)
        batch_loss = Call(
            "batch_loss",
            {
                "row_loss": memory.buffers["row_loss"],
                "batch_scale": batch_scale,
                "kl": memory.buffers.get("kl"),
                "penalty": memory.buffers.get("penalty"),
                "out": memory.stats("loss", 1),
            },
            {"scale": scale, "free_bits": s.free_bits},
        )
        needs_statistics = s.sparsity is not None and s.sparsity.kind == "kl"
        forward = encode + latent
        middle = penalty_backward + decode + backward
        phases: list[tuple[PhaseKind, list[Call]]] = [("reduce", weights)]
        if needs_statistics:
            phases += [("rows", forward), ("reduce", penalty), ("rows", middle), ("reduce", [batch_loss])]
        else:
            phases += [("rows", forward + middle), ("reduce", [*penalty, batch_loss])]
        phases[-1][1].extend(self._weight_gradients())
        phases.append(("update", [self._update()]))
        return phases

    # The pieces --------------------------------------------------------------------------------------------------

    def _gather(self, name: str, cols: int) -> list[Call]:
        return [Call("gather", {"out": self.memory.rows(name, cols)})]

    def _parameter(self, name: str, space: Space = "params") -> Ref:
        p = self.topology.parameters[name]
        return Ref(space, p.offset, p.rows, p.cols, p.row_stride, p.col_stride, vector=p.vector)

    def _weights(self, layer: AnyLayer) -> dict[str, Ref | None]:
        return {"w": self._parameter(f"{layer.name}.weight"), "b": self._parameter(f"{layer.name}.bias")}

    def _call(
        self,
        layer: AnyLayer,
        part: str,
        args: dict[str, Ref | None],
        attrs: dict[str, int | float] | None = None,
    ) -> Call:
        """The op of a layer, such as "linear_act" or, without a part, "pool2d"."""
        attrs = dict(attrs or {})
        if isinstance(layer, Pool2d):
            attrs["kind"] = POOL_CODES[layer.kind]
        return Call(f"{layer.op}{part}", args, attrs, None if isinstance(layer, Layer) else layer.geometry)

    def _forward(self, layer: AnyLayer, x: Ref, output_name: str) -> Call:
        act = activations.get(layer.activation)
        out = self.memory.rows(output_name, layer.n_out)
        self.inputs[layer.name], self.outputs[layer.name] = x, out
        if layer.weight_shape is None:
            return self._call(layer, "", {"x": x, "out": out})
        pre = self.memory.rows(f"{layer.name}.preactivation", layer.n_out) if act.saved != "output" else None
        if pre is not None:
            self.preactivations[layer.name] = pre
        args = {"x": x, **self._weights(layer), "out": out, "pre": pre}
        return self._call(layer, "_act", args, {"act": activations.CODES[layer.activation]})

    def _transposed(self, x: Ref, n: int, name: str) -> tuple[Call, Ref]:
        """Rows of the data's order in that of the layers, or back, where they differ."""
        out = self.memory.rows(name, x.cols)
        return Call("transpose_rows", {"x": x, "out": out}, {"n": n}), out

    def _encoder(self, calls: list[Call]) -> tuple[list[Call], Ref]:
        x = self.memory.buffers["input"]
        channels = self.topology.channels_first
        self.target = x
        if channels:
            call, self.target = self._transposed(x, channels, "input.channels_last")
            calls.append(call)
        corruption = self.settings.corruption
        if corruption is None or self.memory.buffers.get("batch_scale") is None:
            x = self.target
        else:
            corrupted = self.memory.rows("corrupted", self.topology.n_features)
            attrs: dict[str, int | float] = {
                "kind": regularizers.CORRUPTION_CODES[corruption.kind],
                "level": corruption.level,
                "low": corruption.low,
                "high": corruption.high,
                "stream": random.stream_word(random.STREAM_CORRUPTION),
            }
            calls.append(Call("corrupt", {"x": x, "out": corrupted}, attrs))  # in the data's order
            x = corrupted
            if channels:
                call, x = self._transposed(x, channels, "corrupted.channels_last")
                calls.append(call)
        for layer in self.topology.layers[: self.topology.n_encoder]:
            calls.append(self._forward(layer, x, f"{layer.name}.output"))
            x = self.outputs[layer.name]
        return calls, x

    def _latent(self, moments: Ref, stream: int) -> tuple[list[Call], Ref]:
        if not self.topology.variational:
            return [], moments
        self.moments, self.latent_stream = moments, stream
        code = self.memory.rows("code", self.topology.n_components)
        args = {"moments": moments, "z": code, "kl": self.memory.per_row("kl")}
        return [Call("gaussian_latent", args, {"stream": stream})], code

    def _decoder(self, code: Ref, output: str | None, batch_scale: Ref | None = None) -> list[Call]:
        """Up to `output`, or to the loss per row (with delta where a batch_scale is given)."""
        *hidden, last = self.topology.layers[self.topology.n_encoder :]
        calls, x = [], code
        for layer in hidden:
            calls.append(self._forward(layer, x, f"{layer.name}.output"))
            x = self.outputs[layer.name]
        channels = self.topology.channels_first
        if output is not None and channels:
            calls.append(self._forward(last, x, f"{output}.channels_last"))
            call, _ = self._transposed(self.outputs[last.name], last.n_out // channels, output)
            return [*calls, call]
        if output is not None:
            return [*calls, self._forward(last, x, output)]
        s = self.settings
        self.inputs[last.name] = x
        args: dict[str, Ref | None] = {
            "h": x,
            **self._weights(last),
            "target": self.target,
            "feature_weight": self.memory.vector("feature_weight", last.n_out) if s.feature_weight else None,
            "row_loss": self.memory.per_row("row_loss"),
        }
        attrs: dict[str, int | float] = {
            "act": activations.CODES[last.activation],
            "loss": losses.CODES[s.loss],
        }
        if batch_scale is None:
            return [*calls, self._call(last, "_loss", args, attrs)]
        args |= {"batch_scale": batch_scale, "delta": self.memory.rows(f"{last.name}.delta", last.n_out)}
        attrs |= {"scale": losses.element_scale(s.reduction, last.n_out)}
        return [*calls, self._call(last, "_loss_grad", args, attrs)]

    def _penalty(self, code: Ref, batch_scale: Ref) -> tuple[list[Call], list[Call], Ref | None]:
        sparsity = self.settings.sparsity
        if sparsity is None:
            return [], [], None
        mean = self.memory.vector("code_mean", code.cols)
        extra = self.memory.rows("code_extra", code.cols)
        attrs: dict[str, int | float] = {
            "kind": regularizers.PENALTY_CODES[sparsity.kind],
            "weight": sparsity.weight,
            "target": sparsity.target,
        }
        shared = {"h": code, "batch_scale": batch_scale, "mean": mean}
        value = Call("sparsity_penalty", {**shared, "value": self.memory.stats("penalty", 1)}, attrs)
        return [value], [Call("sparsity_penalty_backward", {**shared, "out": extra}, attrs)], extra

    def _saved(self, layer: AnyLayer) -> Ref:
        return self.preactivations.get(layer.name, self.outputs[layer.name])

    def _backward(self, extra: Ref | None, batch_scale: Ref) -> list[Call]:
        """delta of every layer but the last, from the output back to the first layer that learns."""
        calls = []
        layers, topology = self.topology.layers, self.topology
        first = next(i for i, layer in enumerate(layers) if layer.weight_shape is not None)
        for i in range(len(layers) - 1, first, -1):
            into_code = i == topology.n_encoder
            layer, below = layers[i], layers[i - 1]
            delta = self.memory.rows(f"{below.name}.delta", below.n_out)
            through_latent = into_code and topology.variational
            out = self.memory.rows("code.delta", topology.n_components) if through_latent else delta
            args = {
                "delta": self.memory.buffers[f"{layer.name}.delta"],
                "saved": None if through_latent else self._saved(below),
                "extra": extra if into_code else None,
                "out": out,
            }
            if layer.weight_shape is not None:
                args["w"] = self._parameter(f"{layer.name}.weight")
            if isinstance(layer, Pool2d):
                args["x"] = self.inputs[layer.name]
            act = "identity" if through_latent else below.activation
            calls.append(self._call(layer, "_dgrad", args, {"act": activations.CODES[act]}))
            if through_latent:
                latent = {"moments": self.moments, "dz": out, "batch_scale": batch_scale, "out": delta}
                attrs = {"free_bits": self.settings.free_bits, "stream": self.latent_stream}
                calls.append(Call("gaussian_latent_backward", latent, attrs))
        return calls

    def _weight_gradients(self) -> list[Call]:
        """A tied weight gets its decoder's share first; the encoder's call then adds its own and takes the norm of the sum.

        Their biases are not shared, so they have calls of their own; so have those of convolutions, one a channel.
        """
        calls = []
        tied = {layer.tied_to for layer in self.topology.layers}
        for layer in reversed(self.topology.layers):
            if layer.weight_shape is None:
                continue
            delta = self.memory.buffers[f"{layer.name}.delta"]
            db = self._parameter(f"{layer.name}.bias", "grads")
            partials = self.memory.stats(f"{layer.name}.partials", 2)
            shared = layer.tied_to is not None
            alone = not shared and layer.name not in tied and isinstance(layer, Layer)
            args = {
                "delta": delta,
                "a": self.inputs[layer.name],
                "dw": self._parameter(f"{layer.name}.weight", "grads"),
                "partials": None if shared else partials,
            }
            if isinstance(layer, Layer):
                args["db"] = db if alone else None
            calls.append(self._call(layer, "_wgrad", args, {"accumulate": int(layer.name in tied)}))
            if not alone:
                bias_partials = partials if shared else self.memory.stats(f"{layer.name}.bias_partials", 2)
                calls.append(Call("bias_grad", {"delta": delta, "db": db, "partials": bias_partials}))
        return calls

    def _update(self) -> Call:
        s, n = self.settings, self.topology.n_flat
        spaces: dict[str, Space] = {"w": "params", "g": "grads"}
        spaces |= {f"s{i}": space for i, space in enumerate(("slot0", "slot1")[: s.optimizer.n_slots])}  # type: ignore[misc]
        if s.ema is not None:
            spaces["ema"] = "ema"
        args: dict[str, Ref | None] = {"s0": None, "s1": None, "ema": None}
        args |= {name: Ref(space, 0, 1, n, n, vector=True) for name, space in spaces.items()}
        h0, h1, h2 = s.optimizer.constants
        attrs: dict[str, Any] = {
            "rule": optimizers.CODES[s.optimizer.name],
            "n_decay": self.topology.n_decayed,
            "weight_decay": s.weight_decay,
            "h0": h0,
            "h1": h1,
            "h2": h2,
            "ema_decay": s.ema or 0.0,
        }
        return Call("update", args, attrs)


def check(topology: Topology, settings: Settings) -> None:
    """ValueError for a combination of topology and settings that has no meaning, with what to change."""
    row = losses.get(settings.loss)
    losses.element_scale(settings.reduction, topology.n_features)
    output, code = topology.layers[-1].activation, topology.code_activation
    if row.on_logits and output != "sigmoid":
        raise ValueError(
            f"loss {row.name!r} works on a sigmoid's logits: output_activation must be 'sigmoid', not {output!r}"
        )
    if topology.variational and settings.reduction != "sum":
        raise ValueError(
            f"a variational model's loss is the ELBO's: reduction must be 'sum', not {settings.reduction!r}"
        )
    if settings.sparsity is not None and settings.sparsity.kind == "kl":
        act = activations.get(code)
        if topology.variational or act.low < 0.0 or act.high > 1.0:
            raise ValueError(
                f"KL sparsity needs a code in (0, 1): latent_activation must be 'sigmoid', not {code!r}"
            )


def build(
    topology: Topology, settings: Settings, batch: int, purpose: Purpose, dtype: str = "float32"
) -> Plan:
    """The plan of one purpose for batches of up to `batch` rows ("train": of exactly that many)."""
    check(topology, settings)
    builder = Builder(topology, settings, batch)
    phases = getattr(builder, purpose)()
    memory = builder.memory
    return Plan(
        topology,
        settings,
        purpose,
        batch,
        tuple(Phase(kind, tuple(calls)) for kind, calls in phases if calls),
        memory.buffers,
        memory.arena_size,
        memory.stats_size,
        dtype,
    )
