// pool2d and upsample2d with their gradients: no product, so they only walk over pixels, lanes along the channels.
// NumPy: out[y, x] = max or mean of image[y stride_y + i dilation_y - pad_top, ...] over the window's pixels inside the
// image; upsampled image[y, x] = map[y // stride_y, x // stride_x]
#include "common/formulas.h"
#include "cpu/linear.h"
#include "cpu/ops.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// A window's taps inside the image: their first pixel (elements from the image's begin), and how many there are.
struct Window {
  int64_t at, rows, columns;
};
struct Span {
  int64_t at, count;
};

// Along one axis: the taps start, start + dilation ... that lie in [0, size).
AEFAST_INLINE Span inside(int64_t start, int64_t taps, int64_t dilation, int64_t size) {
  if (start >= 0 && start + (taps - 1) * dilation < size) return {start, taps};
  const int64_t skipped = start < 0 ? ceil_div(-start, dilation) : 0, at = start + skipped * dilation;
  const int64_t left = at < size ? ceil_div(size - at, dilation) : 0;
  return {at, larger(0, smaller(taps - skipped, left))};
}

// body(pixel, window): every pixel of the map in order, as elements from the map's begin.
template <class Body>
AEFAST_INLINE void each_window(const Geometry& g, Body&& body) {
  int64_t pixel = 0;
  for (int64_t oy = 0; oy < g.out_height; ++oy) {
    const Span y = inside(oy * g.stride_y - g.pad_top, g.kernel_height, g.dilation_y, g.height);
    for (int64_t ox = 0; ox < g.out_width; ++ox, pixel += g.out_channels) {
      const Span x = inside(ox * g.stride_x - g.pad_left, g.kernel_width, g.dilation_x, g.width);
      body(pixel, Window{(y.at * g.width + x.at) * g.channels, y.count, x.count});
    }
  }
}

// body(tap, element): every tap of a window in order.
template <class Body>
AEFAST_INLINE void each_tap(const Geometry& g, Window window, Body&& body) {
  const int64_t down = g.dilation_y * g.width * g.channels, right = g.dilation_x * g.channels;
  int64_t tap = 0;
  for (int64_t i = 0; i < window.rows; ++i) {
    for (int64_t j = 0; j < window.columns; ++j, ++tap) body(tap, window.at + i * down + j * right);
  }
}

// The first of the largest in window order, and its tap; the first NaN is larger than any number.
struct Largest {
  F value = F(-__builtin_inf()), tap = F(0.0);

  AEFAST_INLINE void add(F x, int64_t number) {
    const F t(static_cast<double>(number));
    tap = select(x > value, t, select(x >= x, tap, select(value >= value, t, tap)));
    value = select(x > value, x, select(x >= x, value, x));
  }
};

void clear(float* row, int64_t n) {
  for_each_vector(n, [&](int64_t j, int lanes, auto extent)
                         __attribute__((always_inline)) { store_lanes(row + j, F(0.0), lanes, extent); });
}

// row = (row + extra) * act'(saved), in place.
void apply_slope(float* row, int64_t n, const float* extra, int act, const float* saved) {
  if (extra) {
    for_each_vector(n, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
      store_lanes(row + j, load_lanes(row + j, lanes, extent) + load_lanes(extra + j, lanes, extent), lanes, extent);
    });
  }
  if (!saved || act == 0) return;
  visit_activation(act, [&](auto activation) {
    using Activation = decltype(activation);
    for_each_vector(n, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
      const F slope = Activation::derivative(load_lanes(saved + j, lanes, extent));
      store_lanes(row + j, load_lanes(row + j, lanes, extent) * slope, lanes, extent);
    });
  });
}

AEFAST_INLINE float* row_of(const Matrix& m, int64_t row) { return m.data ? m.data + row * m.row_stride : nullptr; }

}  // namespace

void pool(const Geometry& g, Matrix x, int kind, Matrix out, int64_t begin, int64_t end) {
  for (int64_t b = begin; b < end; ++b) {
    const float* image = row_of(x, b);
    float* map = row_of(out, b);
    each_window(g, [&](int64_t pixel, Window window) __attribute__((always_inline)) {
      const F count(static_cast<double>(window.rows * window.columns));
      for_each_vector(g.channels, [&](int64_t c, int lanes, auto extent) __attribute__((always_inline)) {
        Largest largest;
        F sum(0.0);
        each_tap(g, window, [&](int64_t tap, int64_t at) __attribute__((always_inline)) {
          const F value = load_lanes(image + at + c, lanes, extent);
          if (kind == 0) largest.add(value, tap);
          else sum = sum + value;
        });
        store_lanes(map + pixel + c, kind == 0 ? largest.value : sum / count, lanes, extent);
      });
    });
  }
}

void pool_dgrad(const Geometry& g, Matrix delta, Matrix x, int kind, int act, Matrix saved, Matrix extra, Matrix out,
                int64_t begin, int64_t end) {
  for (int64_t b = begin; b < end; ++b) {
    const float *map = row_of(delta, b), *image = row_of(x, b);
    float* to = row_of(out, b);
    clear(to, out.cols);
    each_window(g, [&](int64_t pixel, Window window) __attribute__((always_inline)) {
      const F count(static_cast<double>(window.rows * window.columns));
      for_each_vector(g.channels, [&](int64_t c, int lanes, auto extent) __attribute__((always_inline)) {
        const F whole = load_lanes(map + pixel + c, lanes, extent), share = whole / count;
        Largest largest;
        if (kind == 0) {
          each_tap(g, window, [&](int64_t tap, int64_t at) __attribute__((always_inline)) {
            largest.add(load_lanes(image + at + c, lanes, extent), tap);
          });
        }
        each_tap(g, window, [&](int64_t tap, int64_t at) __attribute__((always_inline)) {
          const M chosen = equal(as_int(largest.tap), as_int(F(static_cast<double>(tap))));
          const F part = kind == 0 ? select(chosen, whole, F(0.0)) : share;
          float* place = to + at + c;
          store_lanes(place, load_lanes(place, lanes, extent) + part, lanes, extent);
        });
      });
    });
    apply_slope(to, out.cols, row_of(extra, b), act, row_of(saved, b));
  }
}

void upsample(const Geometry& g, Matrix x, Matrix out, int64_t begin, int64_t end) {
  const int64_t line = g.width * g.channels, map_line = g.out_width * g.out_channels;
  for (int64_t b = begin; b < end; ++b) {
    const float* from = row_of(x, b);
    float* to = row_of(out, b);
    for (int64_t y = 0; y < g.height; ++y, to += line) {
      if (y % g.stride_y != 0) {
        __builtin_memcpy(to, to - line, line * sizeof(float));
        continue;
      }
      const float* pixel = from + y / g.stride_y * map_line;
      for (int64_t column = 0; column < g.width; column += g.stride_x, pixel += g.channels) {
        const int64_t copies = smaller(g.stride_x, g.width - column);
        for (int64_t i = 0; i < copies; ++i) {
          float* place = to + (column + i) * g.channels;
          if (g.channels < W) {  // a masked store costs more than these few
            for (int64_t c = 0; c < g.channels; ++c) place[c] = pixel[c];
          } else {
            for_each_vector(g.channels, [&](int64_t c, int lanes, auto extent) __attribute__((always_inline)) {
              store_lanes(place + c, load_lanes(pixel + c, lanes, extent), lanes, extent);
            });
          }
        }
      }
    }
  }
}

void upsample_dgrad(const Geometry& g, Matrix delta, int act, Matrix saved, Matrix extra, Matrix out, int64_t begin,
                    int64_t end) {
  for (int64_t b = begin; b < end; ++b) {
    const float* image = row_of(delta, b);
    float* map = row_of(out, b);
    each_window(g, [&](int64_t pixel, Window window) __attribute__((always_inline)) {
      for_each_vector(g.channels, [&](int64_t c, int lanes, auto extent) __attribute__((always_inline)) {
        F sum(0.0);
        each_tap(g, window, [&](int64_t, int64_t at) __attribute__((always_inline)) {
          sum = sum + load_lanes(image + at + c, lanes, extent);
        });
        store_lanes(map + pixel + c, sum, lanes, extent);
      });
    });
    apply_slope(map, out.cols, row_of(extra, b), act, row_of(saved, b));
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
