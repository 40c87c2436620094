// Sums over the places of maps, channel by channel, and what batch norm makes of them.
#pragma once

#include <cmath>
#include <vector>

#include "geometry.h"
#include "threads.h"

// Adds g and g (x - center) of some rows of `width` floats to a and b; WIDTH is it, where above 0.
template <int WIDTH>
void AddRows(const float* g, const float* x, const float* center, long rows, int width,
             float* __restrict a, float* __restrict b) {
  const int count = WIDTH ? WIDTH : width;
  for (long r = 0; r < rows; ++r, g += count, x += count)
    for (int i = 0; i < count; ++i) {
      a[i] += g[i];
      b[i] += g[i] * (x[i] - center[i]);
    }
}

// Of g and x, both [places, channels], to [2, channels]: the sums of g and of g (x - center). They
// are made in blocks, of which no number of threads changes any.
inline void Sums(xla::ffi::ThreadPool& pool, const float* g, const float* x, const float* center,
                 long places, int channels, float* to) {
  constexpr int ROW = 64, BLOCK = 1 << 14;  // Floats.
  // Several places side by side, for whole vectors.
  int beside = std::max(1, ROW / channels);
  while (channels < ROW * ROW / WIDE && beside * channels % WIDE) ++beside;
  const int width = beside * channels;
  const long block = std::max(1, BLOCK / width) * beside;
  const int blocks = static_cast<int>((places + block - 1) / block);
  std::vector<float> centers(width), sums(std::size_t(2) * channels * blocks);
  for (int i = 0; i < width; ++i) centers[i] = center[i % channels];
  Share(pool, blocks, [&](int item) {
    std::vector<float> own(2 * width);
    float *a = own.data(), *b = a + width;
    const long first = item * block, count = std::min(block, places - first);
    const float *gs = g + first * channels, *xs = x + first * channels;
    const auto add = width == ROW ? AddRows<ROW> : AddRows<0>;
    add(gs, xs, centers.data(), count / beside, width, a, b);
    const long done = count / beside * width;  // Fewer places than lie side by side are left.
    AddRows<0>(gs + done, xs + done, centers.data(), 1, count % beside * channels, a, b);
    float* mine = sums.data() + std::size_t(2) * channels * item;
    for (int i = 0; i < width; ++i) {
      mine[i % channels] += a[i];
      mine[channels + i % channels] += b[i];
    }
  });
  std::fill(to, to + 2 * channels, 0.0f);
  for (int item = 0; item < blocks; ++item)
    for (int i = 0; i < 2 * channels; ++i) to[i] += sums[std::size_t(2) * channels * item + i];
}

// What batch norm makes of a map's channels: mean, variance, one over the deviation, and that times
// scale; [channels] each.
struct Moments {
  float *mean, *variance, *rate, *factor;

  // Of the sums of so many outputs and of their squares.
  void Of(const float* sums, const float* scale, float epsilon, long places, int channels) const {
    for (int c = 0; c < channels; ++c) {
      mean[c] = sums[c] / places;
      variance[c] = std::max(sums[channels + c] / places - mean[c] * mean[c], 0.0f);
      rate[c] = 1 / std::sqrt(variance[c] + epsilon);
      factor[c] = rate[c] * scale[c];
    }
  }
};

// Of gradients of what such a map became: those by scale and by bias, and what that by the map has
// beside factor * gradient, slope * (map - mean) + shift.
struct Slopes {
  float *scale, *bias, *slope, *shift;

  // Of the sums of the gradients and of them times (map - mean).
  void Of(const float* sums, const float* rate, const float* factor, long places,
          int channels) const {
    for (int c = 0; c < channels; ++c) {
      const float total = sums[c], along = sums[channels + c];
      scale[c] = along * rate[c];
      bias[c] = total;
      slope[c] = -factor[c] * rate[c] * rate[c] * (along / places);
      shift[c] = -factor[c] * (total / places);
    }
  }
};
