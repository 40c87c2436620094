// What lies where a map is largest in each window of it, the first of equals; and its gradient.
#pragma once

#include <limits>

#include "products.h"
#include "threads.h"

struct Pooling : Shape {  // The taps of a window take the place of a kernel's.
  // y: for each window the value of v [B, H, W, C] where x of the same shape is largest.
  void Pick(xla::ffi::ThreadPool& pool, const float* x, const float* v, float* y) const {
    Windows(pool, [&](std::size_t from, std::size_t to, const std::vector<Offset>& taps) {
      Vectors([&](auto lanes, int c) {
        using V = typename Lanes<lanes>::type;
        V best = V{} - std::numeric_limits<float>::infinity(), found = best;
        if (!taps.empty()) found = At<lanes>(v + from + taps[0] + c);
        for (const Offset tap : taps) {
          const V here = At<lanes>(x + from + tap + c);
          const auto better = here > best | here != here;
          best = better ? here : best;
          found = better ? V(At<lanes>(v + from + tap + c)) : found;
        }
        At<lanes>(y + to + c) = found;
      });
    });
  }

  // d: of the shape of x, the sum of g of all windows of which it is picked.
  void Place(xla::ffi::ThreadPool& pool, const float* x, const float* g, float* d) const {
    std::fill(d, d + batch * Image(), 0.0f);
    Windows(pool, [&](std::size_t from, std::size_t to, const std::vector<Offset>& taps) {
      Vectors([&](auto lanes, int c) {
        using V = typename Lanes<lanes>::type;
        V best = V{} - std::numeric_limits<float>::infinity();
        decltype(best > best) place{};
        for (int k = 0; k < static_cast<int>(taps.size()); ++k) {
          const V here = At<lanes>(x + from + taps[k] + c);
          const auto better = here > best | here != here;
          best = better ? here : best;
          place = better ? k : place;
        }
        const V given = At<lanes>(g + to + c);
        for (int k = 0; k < static_cast<int>(taps.size()); ++k)
          At<lanes>(d + from + taps[k] + c) += place == k ? given : V{};
      });
    });
  }

 private:
  std::size_t Image() const { return std::size_t(axes[0].in) * axes[1].in * channels; }

  // Calls work(image, output, taps) for each window: where they begin, and how far from the image's
  // beginning the window's taps lie.
  template <class Work>
  void Windows(xla::ffi::ThreadPool& pool, const Work& work) const {
    const auto& [down, across] = axes;
    Share(pool, batch, [&](int b) {
      std::vector<Offset> taps;
      std::size_t to = std::size_t(b) * pixels() * channels;
      for (int r = 0; r < down.out; ++r)
        for (int s = 0; s < across.out; ++s, to += channels) {
          taps.clear();
          for (int i = 0; i < down.taps; ++i)
            for (int j = 0; j < across.taps; ++j) {
              const int row = r * down.stride + i * down.dilation - down.low;
              const int column = s * across.stride + j * across.dilation - across.low;
              if (0 <= row && row < down.in && 0 <= column && column < across.in)
                taps.push_back((Offset(row) * across.in + column) * channels);
            }
          work(b * Image(), to, taps);
        }
    });
  }

  // Calls work(lanes, channel) for all channels, in vectors where these are whole.
  template <class Work>
  void Vectors(const Work& work) const {
    const auto each = [&](auto lanes) {
      for (int c = 0; c < channels; c += lanes) work(lanes, c);
    };
    if (channels % WIDE == 0)
      each(std::integral_constant<int, WIDE>());
    else if (channels % HALF == 0)
      each(std::integral_constant<int, HALF>());
    else
      each(std::integral_constant<int, 1>());
  }
};
