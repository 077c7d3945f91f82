#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/module.h"
#include "cpu/dispatch.h"
#include "cpu/pool.h"
#include "cpu/sparse_input.h"
#include "cpu/team_choice.h"
#include "cpu/threads.h"

// What threadpoolctl finds in the loaded library (aefast/backends/cpu/controller.py). No exception may leave C: where
// the environment names no number (AEFAST_NUM_THREADS=abc) it is 0, and whoever computes gets the error.
extern "C" {
__attribute__((visibility("default"))) int aefast_get_num_threads() noexcept {
  try {
    return aefast::cpu::process_threads();
  } catch (...) {
    return 0;
  }
}
__attribute__((visibility("default"))) int aefast_get_limit() noexcept { return aefast::cpu::process_limit(); }
__attribute__((visibility("default"))) void aefast_set_limit(int n) noexcept { aefast::cpu::limit_process(n); }
}

namespace aefast::bindings {

void bind_runtime(py::module_& m) {
  m.def("available_isas", &cpu::available_isas,
        "Instruction sets that this build has and this machine runs, best first.");
  m.def(
      "x86_isas",
      [](uint32_t leaf1_c, uint32_t leaf7_b, uint32_t leaf7_1_a, uint32_t extended_c, uint64_t xcr0) {
        const cpu::Features found = cpu::features({leaf1_c, leaf7_b, leaf7_1_a, extended_c, xcr0});
        std::vector<std::string> names;
        if (found.avx512bf16) names.emplace_back("avx512bf16");
        if (found.avx512) names.emplace_back("avx512");
        if (found.avx2) names.emplace_back("avx2");
        return names;
      },
      py::arg("leaf1_c"), py::arg("leaf7_b"), py::arg("leaf7_1_a"), py::arg("extended_c"), py::arg("xcr0"),
      "Instruction sets of an x86-64 processor and system of which CPUID and XGETBV say this (for tests).");
  m.def(
      "isa", [] { return std::string(cpu::kernels().name); }, "The instruction set in use (AEFAST_ISA, or the best).");
  m.def("set_isa", &cpu::set_isa, py::arg("name"),
        "Changes the instruction set in use; existing programs keep theirs. ValueError where it isn't available.");
  m.def("get_num_threads", &cpu::num_threads, "The most threads that a call uses.");
  m.def("set_num_threads", &cpu::set_num_threads, py::arg("n"),
        "Fixes the most threads that a call uses; 0 goes back to the environment's number.");
  m.def("set_most_stored", &cpu::set_most_stored, py::arg("share"),
        "The share of stored elements up to which a first layer works on sparse rows' entries (0: never, 1: always).");
  m.def("most_threads", &cpu::most_threads, py::arg("wanted"),
        "Threads that a call which wants so many (0: the default) may use, by the limits of process and thread.");
  m.def("limit_this_thread", &cpu::limit_this_thread, py::arg("n"),
        "No call from this thread uses more than n threads; 0: no limit. Returns the limit before.");
  m.def("cgroup_quota", &cpu::cgroup_quota, py::arg("root") = "",
        "Processors that the control groups below root grant this process; 0 where they set no limit.");
  m.def("set_flops_per_thread", &cpu::set_flops_per_thread, py::arg("flops"),
        "Arithmetic of a step or op that is worth one more thread; 0 always uses all (for tests).");
  m.def(
      "activate",
      [](int act, py::object z, py::object out) {
        const int64_t n = length("z", z);
        const float* from = floats("z", z, n);
        float* to = floats("out", out, n, Access::write);
        const int row = code("act", act, 9);
        py::gil_scoped_release release;
        cpu::kernels().activate(row, from, to, n);
      },
      py::arg("act"), py::arg("z"), py::arg("out"), "out = act(z), element by element; float32 (n,).");
  m.def(
      "vector_math",
      [](int function, py::object x, py::object out) {
        const int64_t n = length("x", x);
        const float* from = floats("x", x, n);
        float* to = floats("out", out, n, Access::write);
        const auto which = cpu::VectorFunction(code("function", function, cpu::kVectorFunctions));
        py::gil_scoped_release release;
        cpu::kernels().vector_math(which, from, to, n);
      },
      py::arg("function"), py::arg("x"), py::arg("out"),
      "out = function(x), element by element; float32 (n,): exp, exp_nonpositive, expm1, log, log1p, tanh, "
      "exp_minus_half_square, normal_cdf, sin_turns, cos_turns.");
  py::class_<cpu::TeamChoice>(m, "TeamChoice", "How a program chooses the threads of its steps; here for tests.")
      .def(py::init<>())
      .def("begin", &cpu::TeamChoice::begin, py::arg("flops"), py::arg("threads"))
      .def_property_readonly("size", &cpu::TeamChoice::size)
      .def("steps", &cpu::TeamChoice::steps, "Of the next stretch.")
      .def("took", &cpu::TeamChoice::took, py::arg("seconds"), py::arg("steps"));
}

}  // namespace aefast::bindings
