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
      Each<L, N, true, true, true>(tile, y, to, each, apart, size);
    else if (!passed)
      Each<L, N, false, false, false>(tile, y, to, each, apart, size);
    else if (!beside)
      Each<L, N, true, false, false>(tile, y, to, each, apart, size);
    else
      Each<L, N, true, true, false>(tile, y, to, each, apart, size);
  }

 private:
  // Of FEW floats what may be there is asked for each, and else what is said to be is.
  template <int L, int N, bool PASSED, bool BESIDE, bool FEW>
  void Each(const Tile& tile, float* y, const Offset* to, int each, Offset apart, int size) const {
    using V = typename Lanes<L>::type;
    const auto get = [size](const float* p, int n) {
      return FEW ? Few<L>(p + n * L, Left(size, n, L)) : At<L>(p + n * L);
    };
    const auto put = [size](V value, float* p, int n) {
      FEW ? PutFew<L>(value, p + n * L, Left(size, n, L)) : Put<L>(value, p + n * L);
    };
    const bool cut = PASSED && (!FEW || passed), add = BESIDE && (!FEW || beside);
    V a[N] = {}, b[N] = {}, middle[N];
    for (int n = 0; n < N; ++n) middle[n] = cut ? get(center, n) : V{};
    for (int t = cut ? 0 : tile.fresh; t < tile.count; ++t)
      for (int i = 0; i < each; ++i)
        for (int n = 0; n < N; ++n) {
          const Offset at = to[t] + i * apart;
          V g = get(y + at, n);
          if (add) g += get(beside + at, n);
          if (cut) {
            const V z = get(passed + at, n);
            g = z > least ? g : V{};
            g = z < most ? g : V{};
            put(g, y + at, n);
          }
          if (cut && t < tile.fresh) continue;  // The tile before it has them.
          a[n] += g;
          b[n] += g * (cut ? get(along + at, n) - middle[n] : g);
        }
    for (int n = 0; n < N; ++n) {
      put(get(sums, n) + a[n], sums, n);
      put(get(sums + outputs, n) + b[n], sums + outputs, n);
    }
  }
};
