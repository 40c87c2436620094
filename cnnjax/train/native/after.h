// What is done to outputs after they were written, while the cache has them: sums by channel, as
// batch norm needs them, and of gradients what passes where ReLU did not cut off.
#pragma once

#include "tiles.h"

// Of outputs g at y: they become g + beside, or 0 where `passed` is not above `least` and below
// `most`, if those are there.
// Their sums by channel, [2, outputs], are those of g and of g (along - center), or of g and g² where
// there is nothing along.
struct After {
  const float *passed = nullptr, *beside = nullptr, *along = nullptr;  // As y.
  const float* center = nullptr;                                       // By output.
  float least = 0, most = 0;
  float* sums = nullptr;
  int outputs = 0;

  After From(Offset output, Offset place) const {
    const auto from = [place](const float* map) { return map ? map + place : nullptr; };
    return {from(passed), from(beside), from(along), center ? center + output : nullptr,
            least, most, sums + output, outputs};
  }

  // What is read for a tile should be in the cache when its products are.
  void Fetch(const Tile& tile, const Offset* to, int each, Offset apart, int size) const {
    for (const float* map : {passed, along, beside})
      if (map)
        for (int t = tile.fresh; t < tile.count; ++t)
          for (int i = 0; i < each; ++i)
            for (int j = 0; j < size; j += Ahead::LINE)
              __builtin_prefetch(map + to[t] + i * apart + j, 0, 2);
  }

  // Of the places of a tile, each of so many outputs `apart`, the first `size` floats.
  template <int L, int N>
  void Do(const Tile& tile, float* y, const Offset* to, int each, Offset apart, int size) const {
    if (size < L * N)
      Some(tile, y, to, each, apart, size);
    else if (!passed)
      Whole<L, N, false, false>(tile, y, to, each, apart);
    else if (!beside)
      Whole<L, N, true, false>(tile, y, to, each, apart);
    else
      Whole<L, N, true, true>(tile, y, to, each, apart);
  }

 private:
  template <int L, int N, bool PASSED, bool BESIDE>
  void Whole(const Tile& tile, float* y, const Offset* to, int each, Offset apart) const {
    using V = typename Lanes<L>::type;
    V a[N] = {}, b[N] = {}, middle[N];
    for (int n = 0; n < N; ++n) middle[n] = PASSED ? At<L>(center + n * L) : V{};
    for (int t = PASSED ? 0 : tile.fresh; t < tile.count; ++t)
      for (int i = 0; i < each; ++i)
        for (int n = 0; n < N; ++n) {
          const Offset at = to[t] + i * apart + n * L;
          V g = At<L>(y + at);
          if (BESIDE) g += At<L>(beside + at);
          if (PASSED) {
            const V z = At<L>(passed + at);
            g = z > least ? g : V{};
            g = z < most ? g : V{};
            Put<L>(g, y + at);
          }
          if (PASSED && t < tile.fresh) continue;  // The tile before it has them.
          a[n] += g;
          b[n] += g * (PASSED ? At<L>(along + at) - middle[n] : g);
        }
    for (int n = 0; n < N; ++n) {
      Put<L>(At<L>(sums + n * L) + a[n], sums + n * L);
      Put<L>(At<L>(sums + outputs + n * L) + b[n], sums + outputs + n * L);
    }
  }

  void Some(const Tile& tile, float* y, const Offset* to, int each, Offset apart, int size) const {
    for (int j = 0; j < size; ++j) {
      float a = 0, b = 0;
      for (int t = 0; t < tile.count; ++t)
        for (int i = 0; i < each; ++i) {
          const Offset at = to[t] + i * apart + j;
          if (beside) y[at] += beside[at];
          if (passed && !(passed[at] > least && passed[at] < most)) y[at] = 0;
          if (t < tile.fresh) continue;
          a += y[at];
          b += y[at] * (along ? along[at] - center[j] : y[at]);
        }
      sums[j] += a;
      sums[outputs + j] += b;
    }
  }
};
