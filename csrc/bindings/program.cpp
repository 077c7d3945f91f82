// Program: a plan in plain Python data bound to NumPy memory.
#include "cpu/program.h"

#include <pybind11/stl.h>

#include <memory>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/module.h"

namespace aefast::bindings {
namespace {

cpu::Ref ref(const py::handle& value) {
  const auto [space, offset, rows, cols, row_stride, col_stride] =
      value.cast<std::tuple<std::string, int64_t, int64_t, int64_t, int64_t, int64_t>>();
  return {space, offset, rows, cols, row_stride, col_stride};
}

cpu::CallDescription call(const py::dict& value) {
  cpu::CallDescription result;
  result.op = value["op"].cast<std::string>();
  for (auto [name, arg] : value["args"].cast<py::dict>()) {
    if (!arg.is_none()) result.args[name.cast<std::string>()] = ref(arg);
  }
  result.attrs = value["attrs"].cast<std::map<std::string, double>>();
  return result;
}

cpu::PlanDescription plan(const py::list& phases, int64_t batch, int64_t arena_size, int64_t stats_size,
                          bool bfloat16) {
  cpu::PlanDescription result;
  result.batch = batch;
  result.arena_size = arena_size;
  result.stats_size = stats_size;
  result.compute = bfloat16 ? cpu::Compute::bfloat16 : cpu::Compute::float32;
  for (const py::handle item : phases) {
    const auto phase = item.cast<py::tuple>();
    cpu::PhaseDescription description;
    description.kind = phase[0].cast<std::string>();
    for (const py::handle entry : phase[1].cast<py::list>()) description.calls.push_back(call(entry.cast<py::dict>()));
    result.phases.push_back(std::move(description));
  }
  return result;
}

class PyProgram {
 public:
  PyProgram(const py::list& phases, int64_t batch, int64_t arena_size, int64_t stats_size, py::object params,
            py::object grads, py::object slot0, py::object slot1, py::object ema, py::object pending, py::object steps,
            bool bfloat16)
      : keep_alive_(py::make_tuple(params, grads, slot0, slot1, ema, steps)),
        pending_(std::move(pending)),
        steps_(steps.is_none() ? nullptr : integers("steps", steps, 1, Access::write)) {
    const int64_t n = length("params", params);
    const cpu::FlatBuffers buffers{
        floats("params", params, n, Access::write),        optional_floats("grads", grads, n, Access::write),
        optional_floats("slot0", slot0, n, Access::write), optional_floats("slot1", slot1, n, Access::write),
        optional_floats("ema", ema, n, Access::write),     n};
    program_ = std::make_unique<cpu::Program>(plan(phases, batch, arena_size, stats_size, bfloat16), buffers);
  }

  std::pair<int64_t, int> run_steps(py::object data, py::object index, py::object rows, py::object sample_weight,
                                    py::object shift, py::object scale, double factor, uint64_t seed, uint32_t epoch,
                                    int64_t batch, py::object scalars, py::object losses, int nonfinite,
                                    double clip_norm, int n_threads, bool prefetch) {
    cpu::Feed feed = read_feed(data, index, rows, sample_weight, shift, scale, factor, seed, epoch);
    feed.prefetch = prefetch;
    const int64_t n = length("losses", losses);
    double* out = doubles("losses", losses, n, Access::write);
    if (!py::isinstance<py::array_t<double, py::array::c_style>>(scalars)) {
      throw py::type_error("scalars must be a C-contiguous array of float64");
    }
    const auto table = py::reinterpret_borrow<py::array>(scalars);
    if (table.ndim() != 2 || table.shape(0) != n || table.shape(1) != 4) {
      throw py::value_error("scalars must have shape (" + std::to_string(n) + ", 4), one row for each of losses");
    }
    const int policy = code("nonfinite", nonfinite, 3);
    cpu::RunResult result;
    {
      py::gil_scoped_release release;
      result = program_->run_steps(feed, batch, static_cast<const double*>(table.data()), n, out, policy, clip_norm,
                                   n_threads, [this] { return interrupted(); });
    }
    // Here, so that no signal's handler sees a step that isn't counted: the next one runs when this call is over.
    if (steps_ != nullptr) *steps_ += result.steps_done;
    return {result.steps_done, static_cast<int>(result.status)};
  }

  int run_phases(py::object data, py::object index, py::object rows, py::object sample_weight, py::object shift,
                 py::object scale, double factor, uint64_t seed, uint32_t epoch, int64_t start, int64_t stop,
                 double beta, bool repack, int n_threads) {
    const cpu::Feed feed = read_feed(data, index, rows, sample_weight, shift, scale, factor, seed, epoch);
    py::gil_scoped_release release;
    return static_cast<int>(
        program_->run_phases(feed, start, stop, beta, repack, n_threads, [this] { return interrupted(); }));
  }

  py::object take_interrupt() { return std::exchange(interrupt_, py::none()); }

  const cpu::Program& program() const { return *program_; }

  static py::array arena(const py::object& self) {
    cpu::Program& program = *self.cast<PyProgram&>().program_;
    return py::array_t<float>(program.arena_size(), program.arena(), self);
  }
  static py::array stats(const py::object& self) {
    cpu::Program& program = *self.cast<PyProgram&>().program_;
    return py::array_t<double>(program.stats_size(), program.stats(), self);
  }

 private:
  static cpu::Feed read_feed(const py::object& data, const py::object& index, const py::object& rows,
                             const py::object& sample_weight, const py::object& shift, const py::object& scale,
                             double factor, uint64_t seed, uint32_t epoch) {
    cpu::Feed feed;
    feed.data = source("data", data);
    feed.n_index = length("index", index);
    feed.index = integers("index", index, feed.n_index);
    feed.noise_rows = rows.is_none() ? feed.index : integers("rows", rows, feed.n_index);
    feed.sample_weight = optional_doubles("sample_weight", sample_weight, feed.data.rows);
    feed.scaling = scaling(shift, scale, factor, feed.data.cols);
    feed.seed = seed;
    feed.epoch = epoch;
    return feed;
  }

  // Lets Python's signal handlers run; what they raise waits in take_interrupt. One that only takes note is asked
  // about.
  bool interrupted() {
    py::gil_scoped_acquire acquire;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      return !pending_.is_none() && pending_().cast<bool>();
    } catch (const py::error_already_set& error) {  // must not leave the team of threads
      interrupt_ = error.value();
      return true;
    }
  }

  py::object keep_alive_, pending_;
  int64_t* steps_;
  py::object interrupt_ = py::none();
  std::unique_ptr<cpu::Program> program_;
};

}  // namespace

void bind_program(py::module_& m) {
  using py::arg;
  py::class_<PyProgram>(m, "Program", "A plan bound to flat parameter buffers; one run at a time.")
      .def(
          py::init<const py::list&, int64_t, int64_t, int64_t, py::object, py::object, py::object, py::object,
                   py::object, py::object, py::object, bool>(),
          arg("phases"), arg("batch"), arg("arena_size"), arg("stats_size"), arg("params"), arg("grads") = py::none(),
          arg("slot0") = py::none(), arg("slot1") = py::none(), arg("ema") = py::none(), arg("pending") = py::none(),
          arg("steps") = py::none(), arg("bfloat16") = false,
          "pending: a function that tells whether to end a run between two steps. steps: int64 (1,), to which each run "
          "adds the steps that it has done. bfloat16: what products read. "
          "phases: [(kind, [{'op', 'args': {name: (space, offset, rows, cols, row_stride, col_stride)}, 'attrs'}])].")
      .def("run_steps", &PyProgram::run_steps, arg("data"), arg("index"), arg("rows"), arg("sample_weight"),
           arg("shift"), arg("scale"), arg("factor"), arg("seed"), arg("epoch"), arg("batch"), arg("scalars"),
           arg("losses"), arg("nonfinite"), arg("clip_norm"), arg("n_threads") = 0, arg("prefetch") = false,
           "batch: rows a step, at most the plan's. rows: the noise's addresses, None for index itself. prefetch: a "
           "thread has rows to come read from the file "
           "that they are mapped from. Returns "
           "(steps done, status): 0 done, 1 the next step isn't finite, 2 interrupted (see take_interrupt).")
      .def("run_phases", &PyProgram::run_phases, arg("data"), arg("index"), arg("rows"), arg("sample_weight"),
           arg("shift"), arg("scale"), arg("factor"), arg("seed"), arg("epoch"), arg("start"), arg("stop"),
           arg("beta") = 1.0, arg("repack") = true, arg("n_threads") = 0,
           "All phases but the update on rows index[start:stop]; status as in run_steps. repack=False: the parameters "
           "are "
           "those of the last run.")
      .def("take_interrupt", &PyProgram::take_interrupt, "What a signal handler raised during the last run, or None.")
      .def_property_readonly("arena", &PyProgram::arena, "A view of the arena, float32.")
      .def_property_readonly("stats", &PyProgram::stats, "A view of the statistics, float64.")
      .def_property_readonly("isa", [](const PyProgram& self) { return std::string(self.program().isa()); })
      .def_property_readonly("flops", [](const PyProgram& self) { return self.program().flops(); });
}

}  // namespace aefast::bindings
