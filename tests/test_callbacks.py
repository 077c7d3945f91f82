"""Who watches a fit hears everything, changes nothing, and can stop it."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from estimator_cases import X, every_kind, quick

from aefast import Autoencoder, Topology, Trainer
from aefast.callbacks import Callback, Checkpoint, CSVLogger, EarlyStopping, JSONLLogger, ProgressBar


class Recorder(Callback):
    def __init__(self, every=0, stop_at=None):
        self.every, self.stop_at = every, stop_at
        self.events, self.losses, self.rows = [], [], 0

    def on_start(self, model, epochs, n_rows):
        self.events.append(("start", epochs, n_rows))

    def on_step(self, model, steps):
        self.events.append(("step", steps.epoch, len(steps.losses)))
        self.losses.extend(steps.losses)
        self.rows += steps.rows
        return self.stop_at is not None and len(self.losses) >= self.stop_at

    def on_epoch(self, model, history):
        self.events.append(("epoch", len(history.loss)))

    def on_end(self, model, history):
        self.events.append(("end", len(history.loss)))


@every_kind
def test_listening_to_steps_changes_no_bit(kind, backend):
    alone = quick(kind, backend=backend, batch_size=70).fit(X)
    recorders = [Recorder(every) for every in (1, 4, 1000)]
    watched = quick(kind, backend=backend, batch_size=70).fit(X, callbacks=recorders)
    np.testing.assert_array_equal(alone.transform(X), watched.transform(X))
    assert alone.loss_curve_ == watched.loss_curve_
    # 600 rows: 8 batches of 70 and one of 40.
    sizes = [[e[2] for e in r.events if e[0] == "step"] for r in recorders]
    assert sizes == [[1] * 27, [4, 4, 1] * 3, [9] * 3]
    assert recorders[0].losses == recorders[1].losses == recorders[2].losses
    assert [r.rows for r in recorders] == [1800] * 3
    batches = np.array(recorders[0].losses).reshape(3, 9)
    np.testing.assert_allclose(batches @ np.r_[np.full(8, 70), 40] / 600, alone.loss_curve_, rtol=1e-12)


def test_events_come_in_order():
    recorder = Recorder(every=5)
    quick(epochs=2, batch_size=100).fit(X, callbacks=[recorder])
    step = [("step", 0, 5), ("step", 0, 1)]
    second = [("step", 1, n) for _, _, n in step]
    assert recorder.events == [("start", 2, 600), *step, ("epoch", 1), *second, ("epoch", 2), ("end", 2)]


def test_a_stop_within_an_epoch_keeps_what_was_learned():
    recorder = Recorder(every=2, stop_at=8)
    model = quick(epochs=9, batch_size=100).fit(X, callbacks=[recorder])  # 6 steps an epoch
    assert len(recorder.losses) == 8 and model.trainer_.n_steps == 8
    assert model.n_iter_ == len(model.loss_curve_) == 1
    model.partial_fit(X)  # a whole pass, not the rest of the stopped one
    assert model.trainer_.n_steps == 14


def test_a_stop_at_the_last_step_of_an_epoch_counts_the_epoch():
    model = quick(epochs=9, batch_size=100).fit(X, callbacks=[Recorder(every=6, stop_at=6)])
    assert model.n_iter_ == 1 and model.trainer_.position == 0


def test_the_end_is_heard_after_an_error():
    recorder = Recorder()

    def fails(model, history):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        quick().fit(X, callbacks=[recorder, fails])
    assert recorder.events[-1] == ("end", 1)


@pytest.mark.parametrize("event", ["on_start", "on_step", "on_epoch", "on_end"])
def test_a_stop_iteration_out_of_a_callback_reaches_the_caller(event):
    """The loop is a generator, whose end a StopIteration must not be taken for."""
    callback = Callback()
    callback.every = 1

    def stop(*_):
        raise StopIteration(event)

    setattr(callback, event, stop)
    trainer = Trainer(Topology.mlp([X.shape[1], 2, X.shape[1]]), backend="numpy")
    for fit in (quick(Autoencoder).fit, lambda rows, **options: trainer.fit(rows, epochs=2, **options)):
        with pytest.raises(RuntimeError) as raised:
            fit(X, callbacks=[callback])
        assert repr(raised.value.__cause__) == f"StopIteration({event!r})"


@pytest.mark.parametrize("wrong", [3, "log.csv", CSVLogger, None])
def test_what_is_no_callback_is_refused(wrong):
    with pytest.raises(TypeError, match="callback must be"):
        quick().fit(X, callbacks=[wrong])


@pytest.mark.parametrize("every", [0, 4])
def test_logs_hold_every_epoch_and_step(tmp_path, every):
    made = CSVLogger(tmp_path / "log.csv", every=every), JSONLLogger(tmp_path / "log.jsonl", every=every)
    recorder = Recorder(every=1)
    model = quick(batch_size=100).fit(X, X_val=X[:50], callbacks=[*made, recorder])
    with (tmp_path / "log.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for rows in (table, lines):
        epochs = [row for row in rows if row["event"] == "epoch"]
        assert [float(row["loss"]) for row in epochs] == model.loss_curve_
        assert [float(row["validation_loss"]) for row in epochs] == model.validation_loss_curve_
        assert [int(row["epoch"]) for row in epochs] == [1, 2, 3]
        assert [int(row["step"]) for row in epochs] == [6, 12, 18]
        assert all(float(row["rows_per_second"]) > 0 for row in epochs)
        seconds = [float(row["seconds"]) for row in rows]
        assert seconds == sorted(seconds)
        steps = [row for row in rows if row["event"] == "step"]
        assert [int(row["step"]) for row in steps] == ([4, 6, 10, 12, 16, 18] if every else [])
        if every:
            assert float(steps[0]["loss"]) == pytest.approx(np.mean(recorder.losses[:4]), rel=1e-12)
    assert lines[0]["validation_loss"] is None if every else True


def test_a_log_is_written_anew_or_appended_to(tmp_path):
    path = tmp_path / "log.csv"
    for append, lines in ((False, 4), (False, 4), (True, 7)):
        quick().fit(X, callbacks=[CSVLogger(path, append=append)])
        assert len(path.read_text().splitlines()) == lines
    assert path.read_text().count("event") == 1


def test_a_log_is_on_the_disk_while_the_fit_runs(tmp_path):
    path, seen = tmp_path / "log.jsonl", []
    watch = [JSONLLogger(path), lambda model, history: seen.append(len(path.read_text().splitlines()))]
    quick().fit(X, callbacks=watch)
    assert seen == [1, 2, 3]


def test_a_log_that_cannot_be_written_ends_the_fit_before_it_starts(tmp_path):
    model = quick()
    with pytest.raises(FileNotFoundError):
        model.fit(X, callbacks=[CSVLogger(tmp_path / "no" / "log.csv")])
    assert not hasattr(model, "trainer_")


@pytest.mark.parametrize(
    "wrong", [[3], [CSVLogger("no/such/folder/log.csv")]], ids=["no callback", "no folder"]
)
def test_what_fails_before_the_first_step_leaves_the_model_that_was(wrong):
    model = quick().fit(X)
    codes, seen = model.transform(X), model.loss_curve_
    with pytest.raises((TypeError, FileNotFoundError)):
        model.fit(X[:, :5], callbacks=wrong)
    np.testing.assert_array_equal(model.transform(X), codes)
    assert model.loss_curve_ is seen and model.n_features_in_ == 64


def test_ctrl_c_in_the_validation_leaves_curves_of_one_length(monkeypatch):
    model, calls = quick(epochs=9), []
    evaluate = Trainer.evaluate

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(self, *arguments)

    monkeypatch.setattr(Trainer, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, X_val=X[:50])
    assert len(model.loss_curve_) == len(model.validation_loss_curve_) == model.n_iter_ == 2


def test_one_callbacks_end_does_not_depend_on_anothers(tmp_path):
    class Breaks(Callback):
        def on_end(self, model, history):
            raise OSError("full")

    recorder = Recorder()
    with pytest.raises(OSError, match="full"):
        quick().fit(X, callbacks=[recorder, Breaks()])
    assert recorder.events[-1] == ("end", 3)
    unstarted = Recorder()
    with pytest.raises(FileNotFoundError):
        quick().fit(X, callbacks=[CSVLogger(tmp_path / "no" / "log"), unstarted])
    assert unstarted.events == []


def test_when_one_stops_within_an_epoch_the_others_hear_of_the_last_steps():
    others = Recorder(every=5)
    quick(batch_size=100).fit(X, callbacks=[Recorder(every=2, stop_at=2), others])
    assert others.events[1] == ("step", 0, 2) and others.rows == 200


def test_json_lines_know_no_nan(tmp_path):
    trainer = Trainer(Topology.mlp([4, 2, 4]), nonfinite="propagate", backend="numpy", batch_size=2)
    trainer.fit(np.full((4, 4), np.nan), epochs=1, callbacks=[JSONLLogger(tmp_path / "log.jsonl")])
    assert json.loads((tmp_path / "log.jsonl").read_text())["loss"] is None


def test_checkpoints_are_saved_and_resumed(tmp_path):
    path = tmp_path / "run.checkpoint"
    trainer = Trainer(Topology.mlp([64, 8, 64]), batch_size=100, backend="numpy")
    saved = []

    class Watch(Callback):
        every = 1

        def on_step(self, model, steps):
            saved.append(path.stat().st_mtime_ns if path.exists() else None)

    trainer.fit(X, epochs=2, callbacks=[Watch(), Checkpoint(path, epochs=2, every=4)])
    assert len(set(saved)) > 3
    assert len(set(saved)) < 6  # not twice at one place
    resumed = Trainer.load_checkpoint(path)
    np.testing.assert_array_equal(resumed.encode(X), trainer.encode(X))
    with pytest.raises(ValueError, match="epochs"):
        Checkpoint(path, epochs=0)


def test_a_checkpoint_within_an_epoch_knows_the_epochs_loss_so_far(tmp_path):
    class Stop(Callback):
        every = 4

        def on_step(self, model, steps):
            return True

    whole = Trainer(Topology.mlp([64, 8, 64]), batch_size=100, backend="numpy").fit(X, epochs=2).loss
    for resume_at in (4, 6):
        Stop.every = resume_at
        trainer = Trainer(Topology.mlp([64, 8, 64]), batch_size=100, backend="numpy")
        path = tmp_path / f"{resume_at}.safetensors"
        trainer.fit(X, epochs=2, callbacks=[Checkpoint(path, every=resume_at), Stop()])
        resumed = Trainer.load_checkpoint(path)
        assert (resumed.position, resumed.epoch) == ((4, 0) if resume_at == 4 else (0, 1))
        rest = whole[resumed.epoch :]
        assert resumed.fit(X, epochs=len(rest)).loss == rest


def test_early_stopping_keeps_raw_weights_and_averages_apart():
    trainer = Trainer(Topology.mlp([64, 8, 64]), batch_size=10, ema=0.9, learning_rate=0.03, backend="numpy")
    trainer.fit(X[:40], epochs=60, X_val=X[100:200], callbacks=[EarlyStopping(patience=3)])
    raw, averaged = trainer.parameters, trainer.ema_parameters
    assert not np.array_equal(raw["encoder.0.weight"], averaged["encoder.0.weight"])


def test_early_stopping_by_itself_restores_the_best():
    trainer = Trainer(Topology.mlp([64, 8, 64]), batch_size=10, learning_rate=0.03, backend="numpy")
    stopping = EarlyStopping(patience=3)
    history = trainer.fit(X[:40], epochs=100, X_val=X[100:200], callbacks=[stopping])
    best = int(np.argmin(history.validation_loss))
    assert len(history.loss) < 100 and best < len(history.loss) - 1
    assert trainer.evaluate(X[100:200]) == pytest.approx(history.validation_loss[best], rel=1e-5)
    assert stopping.best == history.validation_loss[best]
    with pytest.raises(ValueError, match="X_val"):
        trainer.fit(X, epochs=1, callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="monitor"):
        EarlyStopping("accuracy")


def test_the_bar_tells_epoch_loss_rate_and_time_left(capfd, monkeypatch):
    monkeypatch.setattr(ProgressBar, "SECONDS", 0.0)  # every step is shown
    Autoencoder(backend="numpy", epochs=2, batch_size=20, random_state=0, verbose=1).fit(X)
    shown = capfd.readouterr().err
    last = shown.replace("\n", "\r").strip("\r").split("\r")[-1]
    assert "Autoencoder epoch 2/2 100%" in last and "loss=" in last and "rows/s" in last and "<" in last


def test_the_bars_pieces_grow_until_they_take_a_while():
    bar = ProgressBar()
    Trainer(Topology.mlp([64, 8, 64]), batch_size=5, backend="numpy").fit(X, epochs=1, callbacks=[bar])
    assert bar.every >= 4 and math.log2(bar.every).is_integer()
