#include "cpu/panels.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "cpu/geometry.h"

namespace aefast::cpu {
namespace {

constexpr size_t kLine = 64, kHugePage = 2 << 20, kManyHugePages = 4;
// w, gradient and two slots of a tile fit an L2 cache together, so that packing finds the new weights there.
constexpr int64_t kTileElements = 16384;

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

AlignedFloats aligned_floats(int64_t n) {
  const size_t wanted = std::max<int64_t>(n, 1) * sizeof(float);
  const bool huge = wanted >= kManyHugePages * kHugePage;
  const size_t line = huge ? kHugePage : kLine, bytes = round_up(wanted, line);
  void* memory = std::aligned_alloc(line, bytes);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  // Rows of a matrix lie pages apart: with small ones each is an entry of the TLB. A wish, so failure is nothing.
  if (huge) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  std::memset(memory, 0, bytes);
  return AlignedFloats(static_cast<float*>(memory));
}

int64_t panel_size(const Kernels& kernels, int64_t n, int64_t k) {
  return round_up(n, kernels.panel_width) * round_up(k, kernels.panel_pair) / kernels.panel_pair;
}

void Panels::expect_apart(int64_t offset, int64_t n) const {
  auto look = [&](int64_t other, int64_t size) {
    if (offset == other && n == size) return;
    if (offset < other + size && other < offset + n) {
      throw std::invalid_argument("weights at flat offsets " + std::to_string(offset) + " and " +
                                  std::to_string(other) + " overlap");
    }
  };
  for (const auto& weight : weights_) look(weight->offset, weight->n * weight->m);
  for (const auto& c : convolutions_) look(c->offset, c->geometry.out_channels * weight_columns(c->geometry));
}

const float* Panels::want(const Kernels& kernels, const Geometry& geometry, Direction direction, int64_t offset) {
  for (const auto& c : convolutions_) {
    if (c->offset == offset && c->direction == direction && c->geometry == geometry) return c->panels.get();
  }
  expect_apart(offset, geometry.out_channels * weight_columns(geometry));
  convolutions_.push_back(std::make_unique<PackedConvolution>(
      PackedConvolution{offset, geometry, direction, aligned_floats(kernels.conv_panels(geometry, direction))}));
  return convolutions_.back()->panels.get();
}

const float* Panels::want(const Kernels& kernels, Matrix w, int64_t offset, bool transposed) {
  PackedWeight* found = nullptr;
  for (auto& weight : weights_) {
    if (weight->offset == offset) found = weight.get();
  }
  const bool row_major = w.col_stride == 1 && (w.row_stride == w.cols || w.rows == 1);
  const bool col_major = (w.row_stride == 1 || w.rows == 1) && (w.col_stride == w.rows || w.cols == 1);
  if (!row_major && !col_major) throw std::invalid_argument("a weight must be a whole dense matrix or its transpose");
  if (found == nullptr) {
    const int64_t n = row_major ? w.rows : w.cols, m = row_major ? w.cols : w.rows;
    expect_apart(offset, n * m);
    weights_.push_back(std::make_unique<PackedWeight>(PackedWeight{offset, n, m, nullptr, nullptr}));
    found = weights_.back().get();
  }
  const bool as_stored = row_major && w.rows == found->n && w.cols == found->m;
  if (!as_stored && !(col_major && w.rows == found->m && w.cols == found->n)) {
    throw std::invalid_argument("two uses of the weight at flat offset " + std::to_string(offset) +
                                " differ in shape beyond a transposition");
  }
  const bool by_row = as_stored != transposed;
  AlignedFloats& panels = by_row ? found->by_row : found->by_col;
  if (panels == nullptr) {
    panels = aligned_floats(by_row ? panel_size(kernels, found->n, found->m) : panel_size(kernels, found->m, found->n));
  }
  return panels.get();
}

void Panels::plan_tiles(const Kernels& kernels, int64_t n_flat) {
  std::vector<const PackedWeight*> order;
  for (auto& weight : weights_) order.push_back(weight.get());
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
  int64_t at = 0;
  auto plain = [&](int64_t end) {
    for (; at < end; at += kTileElements) tiles_.push_back({at, std::min(end, at + kTileElements)});
    at = end;
  };
  for (const PackedWeight* weight : order) {
    plain(weight->offset);
    const int64_t width = kernels.panel_width;
    const int64_t rows = std::max<int64_t>(1, kTileElements / (weight->m * width)) * width;
    for (int64_t row = 0; row < weight->n; row += rows) {
      const int64_t end = std::min(weight->n, row + rows);
      tiles_.push_back({at + row * weight->m, at + end * weight->m, weight, row, end});
    }
    at += weight->n * weight->m;
  }
  plain(n_flat);
  work_.assign(1, 0);
  for (const UpdateTile& tile : tiles_) work_.push_back(work_.back() + tile.end - tile.begin);
}

void Panels::share(int thread, int size, size_t* begin, size_t* end) const {
  auto cut = [&](int t) {
    const int64_t target = work_.back() * t / size;
    return static_cast<size_t>(std::lower_bound(work_.begin(), work_.end(), target) - work_.begin());
  };
  *begin = thread == 0 ? 0 : cut(thread);
  *end = thread + 1 == size ? tiles_.size() : cut(thread + 1);
}

void Panels::pack(const Kernels& kernels, const float* params, const UpdateTile& tile) const {
  const PackedWeight* weight = tile.weight;
  if (weight == nullptr) return;
  const int64_t width = kernels.panel_width, n = weight->n, m = weight->m;
  float* w = const_cast<float*>(params) + weight->offset;
  if (weight->by_row) {
    kernels.pack(Matrix{w, n, m, m, 1}, weight->by_row.get(), tile.row_begin / width,
                 (tile.row_end + width - 1) / width);
  }
  if (weight->by_col) {
    // The tile's rows are a run of K inside every transposed panel: each piece is a panel of its own. It begins at a
    // multiple of the panel's width, so at a whole word.
    const int64_t k = tile.row_end - tile.row_begin;
    for (int64_t col = 0; col < m; col += width) {
      const Matrix piece{w + tile.row_begin * m + col, std::min(width, m - col), k, 1, m};
      float* panel = weight->by_col.get() + panel_size(kernels, col, n);
      kernels.pack(piece, panel + tile.row_begin / kernels.panel_pair * width, 0, 1);
    }
  }
}

void Panels::pack_convolutions(const Kernels& kernels, const float* params, int thread, int size) const {
  // The units of all stand in one line, a unit's work being its share of the panels.
  double all = 0, before = 0;
  for (const auto& c : convolutions_) all += double(kernels.conv_panels(c->geometry, c->direction));
  for (const auto& c : convolutions_) {
    const double work = double(kernels.conv_panels(c->geometry, c->direction));
    const int64_t units = kernels.conv_pack_units(c->geometry, c->direction);
    auto cut = [&](int t) {
      const double share = std::max(0.0, std::min(1.0, (all * t / size - before) / work));
      return int64_t(share * double(units) + 0.5);
    };
    const int64_t begin = thread == 0 ? 0 : cut(thread), end = thread + 1 == size ? units : cut(thread + 1);
    if (begin < end) {
      kernels.conv_pack(c->geometry, c->direction, params + c->offset, c->panels.get(), begin, end);
    }
    before += work;
  }
}

}  // namespace aefast::cpu
