// What lies where a map is largest in each window of it, the first of equals; and its gradient.
#pragma once

#include <limits>

#include "products.h"
#include "threads.h"

struct Pooling : Shape {  // The taps of a window take the place of a kernel's.
  // y: for each window the value of v [B, H, W, C] where x of the same shape is largest.
  void Pick(xla::ffi::ThreadPool& pool, const float* x, const float* v, float* y) const {
    Windows(pool, [&](Offset from, std::size_t to, const std::vector<Offset>& taps) {
      Vectors([&](auto lanes, int c) {
        using V = typename Lanes<lanes>::type;
        V best = V{} - std::numeric_limits<float>::infinity(), found = best;
        if (!taps.empty()) found = At<lanes>(v + (from + taps[0] + c));
        for (const Offset tap : taps) {
          const V here = At<lanes>(x + (from + tap + c));
          const auto better = here > best | here != here;
          best = better ? here : best;
          found = better ? At<lanes>(v + (from + tap + c)) : found;
        }
        Put<lanes>(found, y + to + c);
      });
    });
  }

  // d: of the shape of x, the sum of g of all windows of which it is picked.
  void Place(xla::ffi::ThreadPool& pool, const float* x, const float* g, float* d) const {
    std::fill(d, d + batch * Image(), 0.0f);
    Windows(pool, [&](Offset from, std::size_t to, const std::vector<Offset>& taps) {
      Vectors([&](auto lanes, int c) {
        using V = typename Lanes<lanes>::type;
        V best = V{} - std::numeric_limits<float>::infinity();
        decltype(best > best) place{};
        for (int k = 0; k < static_cast<int>(taps.size()); ++k) {
          const V here = At<lanes>(x + (from + taps[k] + c));
          const auto better = here > best | here != here;
          best = better ? here : best;
          place = better ? k : place;
        }
        const V given = At<lanes>(g + to + c);
        for (int k = 0; k < static_cast<int>(taps.size()); ++k) {
          float* at = d + (from + taps[k] + c);
          Put<lanes>(At<lanes>(at) + (place == k ? given : V{}), at);
        }
      });
    });
  }

 private:
  Offset Image() const { return Offset(axes[0].in) * axes[1].in * channels; }

  // The taps of a window that lie inside the map.
  static std::vector<int> Inside(const Axis& a, int window) {
    std::vector<int> found;
    for (int t = 0; t < a.taps; ++t)
      if (a.has(window * a.stride + t * a.dilation - a.low)) found.push_back(t);
    return found;
  }

  // Calls work(window, output, taps) for each window: where it begins, where its output lies, and
  // how far from its beginning the taps inside the map are.
  template <class Work>
  void Windows(xla::ffi::ThreadPool& pool, const Work& work) const {
    const Axis &down = axes[0], &across = axes[1];
    std::vector<std::vector<int>> rows, columns;
    for (int r = 0; r < down.out; ++r) rows.push_back(Inside(down, r));
    for (int s = 0; s < across.out; ++s) columns.push_back(Inside(across, s));
    Share(pool, batch, [&](int b) {
      std::size_t to = std::size_t(b) * pixels() * channels;
      std::vector<Offset> taps;
      for (int r = 0; r < down.out; ++r)
        for (int s = 0; s < across.out; ++s, to += channels) {
          if (s == 0 || columns[s] != columns[s - 1]) {
            taps.clear();
            for (const int i : rows[r])
              for (const int j : columns[s])
                taps.push_back((Offset(i) * down.dilation * across.in + j * across.dilation) *
                               channels);
          }
          const Offset row = r * down.stride - down.low, column = s * across.stride - across.low;
          work(b * Image() + (row * across.in + column) * channels, to, taps);
        }
    });
  }

  // Calls work(lanes, channel) for all channels, in vectors as wide as are left.
  template <int L = WIDE, class Work>
  void Vectors(const Work& work, int c = 0) const {
    for (; c + L <= channels; c += L) work(std::integral_constant<int, L>(), c);
    if constexpr (L > 1) Vectors<L / 2>(work, c);
  }
};
