#include "cpu/geometry.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace aefast::cpu {
namespace {

constexpr int64_t kLargestField = int64_t(1) << 24;
constexpr double kLargestSide = double(int64_t(1) << 40);  // elements

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("geometry: " + what); }

// Pixels along an axis that windows or the image reach, padding included.
double reach(int64_t size, int64_t out, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
  return std::max(double(size) + double(pad),
                  double(out - 1) * double(stride) + double(taps - 1) * double(dilation) + 1);
}

void check_depthwise(const Geometry& g, const char* op) {
  if (g.groups != g.channels || g.out_channels != g.channels) {
    fail(std::string(op) + " works channel by channel: groups (" + std::to_string(g.groups) + "), channels (" +
         std::to_string(g.channels) + ") and out_channels (" + std::to_string(g.out_channels) + ") must be equal");
  }
}

void check_sight(const char* axis, int64_t size, int64_t out, int64_t taps, int64_t stride, int64_t pad,
                 int64_t dilation) {
  for (int64_t o = 0; o < out; ++o) {
    const int64_t start = o * stride - pad, skipped = start < 0 ? (-start + dilation - 1) / dilation : 0;
    if (skipped >= taps || start + skipped * dilation >= size) {
      fail("window " + std::to_string(o) + " of the " + axis + " covers no pixel of the image");
    }
  }
}

}  // namespace

bool operator==(const Geometry& a, const Geometry& b) {
  static_assert(sizeof(Geometry) == 15 * sizeof(int64_t), "no padding between the fields");
  return std::memcmp(&a, &b, sizeof(Geometry)) == 0;
}

void check(const Geometry& g) {
  const int64_t positive[] = {g.height,       g.width,         g.channels,     g.out_height, g.out_width,
                              g.out_channels, g.kernel_height, g.kernel_width, g.stride_y,   g.stride_x,
                              g.dilation_y,   g.dilation_x,    g.groups};
  for (const int64_t field : positive) {
    if (field < 1 || field > kLargestField) {
      fail("sizes, strides, dilations and groups must be in [1, 2^24], but one is " + std::to_string(field));
    }
  }
  for (const int64_t field : {g.pad_top, g.pad_left}) {
    if (field < 0 || field > kLargestField) fail("padding must be in [0, 2^24], but is " + std::to_string(field));
  }
  if (g.channels % g.groups != 0 || g.out_channels % g.groups != 0) {
    fail("channels (" + std::to_string(g.channels) + ") and out_channels (" + std::to_string(g.out_channels) +
         ") must be multiples of groups (" + std::to_string(g.groups) + ")");
  }
  const double image = reach(g.height, g.out_height, g.kernel_height, g.stride_y, g.pad_top, g.dilation_y) *
                       reach(g.width, g.out_width, g.kernel_width, g.stride_x, g.pad_left, g.dilation_x) *
                       double(g.channels);
  const double map = double(g.out_height) * double(g.out_width) * double(g.out_channels);
  const double weight = double(g.kernel_height) * double(g.kernel_width) * double(g.channels) * double(g.out_channels);
  if (std::max({image, map, weight}) > kLargestSide) {
    fail("the padded image, the map and the weight must have at most 2^40 elements each");
  }
}

void check_pool(const Geometry& g) {
  check(g);
  check_depthwise(g, "pooling");
  check_sight("height", g.height, g.out_height, g.kernel_height, g.stride_y, g.pad_top, g.dilation_y);
  check_sight("width", g.width, g.out_width, g.kernel_width, g.stride_x, g.pad_left, g.dilation_x);
}

void check_upsample(const Geometry& g) {
  check(g);
  check_depthwise(g, "upsampling");
  const bool tiles = g.kernel_height == g.stride_y && g.kernel_width == g.stride_x && g.dilation_y == 1 &&
                     g.dilation_x == 1 && g.pad_top == 0 && g.pad_left == 0;
  if (!tiles) fail("upsampling repeats pixels: kernel and stride must be equal, dilation 1 and padding 0");
  if (g.height > g.out_height * g.stride_y || g.width > g.out_width * g.stride_x) {
    fail("upsampling reaches at most out_height * stride_y rows and out_width * stride_x columns, but the image has " +
         std::to_string(g.height) + " x " + std::to_string(g.width));
  }
}

}  // namespace aefast::cpu
