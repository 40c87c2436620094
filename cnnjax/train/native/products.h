// The two products that convolutions are made of, in registers: T places times N vectors of
// outputs.
#pragma once

#include "vectors.h"

// Of 32 registers (16 with AVX alone) all but a few hold sums.
constexpr int PAIR = WIDE == 8 ? 6 : 14;     // Places where each has two vectors.
constexpr int SINGLE = WIDE == 8 ? 12 : 28;  // Places where each has one.
// Places in runs share an address, which else costs about as much time as what it is of.
constexpr int RUN = 8;
constexpr int RUNS = WIDE == 8 ? 8 : 24;
// Rows of a tap's weights that are added to together, of one vector each.
constexpr int ROWS = WIDE == 8 ? 8 : 16;

// How a product reads x. VECTORS: by vectors, channel by channel. FLOATS: one float, where it is
// told for each place. LINES: one float, where it is told for the first of each RUN of places.
// NEXT: one float after the other.
enum class Reads { VECTORS, FLOATS, LINES, NEXT };

template <int T, Reads HOW>
struct Places {
  const float* x;
  const Offset* places;

  Places(const float* x, const Offset* places) : x(x), places(places) {}
  const float* At(int t, Offset) const { return x + places[t]; }
};

template <int T>
struct Places<T, Reads::LINES> {
  const float* first[T / RUN];

  Places(const float* x, const Offset* places) {
#pragma GCC unroll 32
    for (int t = 0; t < T; t += RUN) first[t / RUN] = x + places[t];
  }
  const float* At(int t, Offset step) const { return first[t / RUN] + t % RUN * step; }
};

template <int T>
struct Places<T, Reads::NEXT> {
  const float* first;

  Places(const float* x, const Offset* places) : first(x + places[0]) {}
  const float* At(int t, Offset) const { return first + t; }
};

// Adds to T places of N vectors each what each reads of x times the same N vectors.
template <int L, int T, int N, Reads HOW>
[[gnu::always_inline]] inline void Accumulate(typename Lanes<L>::type (&sum)[T][N],
                                              const Places<T, HOW>& at, Offset step,
                                              const float* by) {
  typename Lanes<L>::type b[N];
  for (int n = 0; n < N; ++n) b[n] = At<L>(by + L * n);
#pragma GCC unroll 32
  for (int t = 0; t < T; ++t) {
    const float* there = at.At(t, step);
    if constexpr (HOW == Reads::VECTORS) {
      sum[t][0] += At<L>(there) * b[0];
    } else {
      const float a = *there;
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) sum[t][n] += a * b[n];
    }
  }
}

// What becomes of a place's sums before they leave the registers: by output scaled and shifted, then
// what lies beside them added, then cut off below and above. Without a scale they stay as they are.
struct End {
  const float *scale = nullptr, *shift = nullptr;  // They go on for two vectors after the last.
  const float* beside = nullptr;                   // As y, or none.
  float least = 0, most = 0;

  End From(Offset output, Offset place) const {
    return scale ? End{scale + output, shift + output, beside ? beside + place : nullptr, least, most}
                 : End{};
  }
};

// The first `width` sums of places, at y + to[t].
template <int L, int T, int N>
[[gnu::always_inline]] inline void Finished(typename Lanes<L>::type (&sum)[T][N], const End& end,
                                            const Offset* to, int width) {
  using V = typename Lanes<L>::type;
#pragma GCC unroll 32
  for (int t = 0; t < T; ++t)
    for (int n = 0; n < N; ++n)
      sum[t][n] = sum[t][n] * At<L>(end.scale + L * n) + At<L>(end.shift + L * n);
  if (end.beside && width == L * N) {
#pragma GCC unroll 32
    for (int t = 0; t < T; ++t)
      for (int n = 0; n < N; ++n) sum[t][n] += At<L>(end.beside + to[t] + L * n);
  } else if (end.beside) {
    for (int t = 0; t < T; ++t)
      for (int n = 0; n < N; ++n)
        sum[t][n] += Few<L>(end.beside + to[t] + L * n, Left(width, n, L));
  }
  const V least = V{} + end.least, most = V{} + end.most;
#pragma GCC unroll 32
  for (int t = 0; t < T; ++t)
    for (int n = 0; n < N; ++n) {
      sum[t][n] = sum[t][n] < least ? least : sum[t][n];  // What is not a number stays.
      sum[t][n] = sum[t][n] > most ? most : sum[t][n];
    }
}

template <int L, int T, int N>
[[gnu::always_inline]] inline void Written(typename Lanes<L>::type (&sum)[T][N], const End& end,
                                           float* y, const Offset* to, int width) {
  using V = typename Lanes<L>::type;
  if (end.scale) Finished<L, T, N>(sum, end, to, width);
  if (width == L * N) {
#pragma GCC unroll 32
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) Put<L>(sum[t][n], y + to[t] + L * n);
  } else {
    for (int t = 0; t < T; ++t)
      for (int n = 0; n < N; ++n) PutFew<L>(sum[t][n], y + to[t] + L * n, Left(width, n, L));
  }
}

// The taps that places share: tap k reads depth floats at x + places[t] + taps[k] and depth rows of
// weights, row floats apart, at w + weights[k] * tap.
struct Reach {
  const Offset *places, *taps, *weights;
  Offset step, tap, row;
  int depth;

  // What taps first to last - 1 say is added to sums.
  template <int L, int T, int N, Reads HOW>
  [[gnu::always_inline]] void Add(const float* x, const float* w, int first, int last,
                                  typename Lanes<L>::type (&sum)[T][N]) const {
    for (int k = first; k < last; ++k) {
      const float* from = x + taps[k];
      const float* by = w + weights[k] * tap;
      for (int c = 0; c < depth; ++c, ++from, by += row)
        Accumulate<L, T, N, HOW>(sum, Places<T, HOW>(from, places), step, by);
    }
  }
};

// What becomes of the first `width` sums of place t, of so many taps, is written to y + to[t].
template <int L, int T, int N, Reads HOW>
void Convolved(const Reach& reach, const float* x, const float* w, int count, const End& end,
               float* y, const Offset* to, int width) {
  typename Lanes<L>::type sum[T][N] = {};
  reach.Add<L, T, N, HOW>(x, w, 0, count, sum);
  Written<L, T, N>(sum, end, y, to, width);
}

// The sums themselves, to [T][N * L]; TERMS at a time or a tap, since long sums round more.
template <int L, int T, int N, Reads HOW>
void Summed(const Reach& reach, const float* x, const float* w, int count, float* sums) {
  constexpr int TERMS = 256;
  const int each = std::max(1, TERMS / reach.depth);
  int k = 0;
  do {  // Of no taps too, whose sums are 0.
    typename Lanes<L>::type sum[T][N] = {};
    reach.Add<L, T, N, HOW>(x, w, k, std::min(count, k + each), sum);
#pragma GCC unroll 32
    for (int t = 0; t < T; ++t)
      for (int n = 0; n < N; ++n) {
        float* to = sums + (t * N + n) * L;
        Put<L>(k ? At<L>(to) + sum[t][n] : sum[t][n], to);
      }
    k += each;
  } while (k < count);
}

// Through the outputs of some images, of some rows and of some columns: how far apart they are read
// and how far apart their gradients are.
struct Walk {
  Offset images, rows, columns;
  Offset image, row, column;
  Offset image_gradients, row_gradients, column_gradients;
};

// Adds to T rows of weights, at to[t], what all outputs of a walk say: each reads x + rows[t] and
// has N vectors of gradients. BESIDE outputs of a row are added together.
template <int L, int T, int N, Reads HOW, int BESIDE>
void Correlated(const float* x, const Offset* rows, const float* g, const Walk& walk,
                float* const* to) {
  using V = typename Lanes<L>::type;
  V sum[T][N] = {};  // By itself, since it rounds less than all that were before it.
  // From a row's end to the next without a branch, which nobody could foresee.
  const Offset back = walk.row - walk.columns * walk.column;
  const Offset back_gradients = walk.row_gradients - walk.columns * walk.column_gradients;
  for (int b = 0; b < walk.images; ++b) {
    const float *from = x + b * walk.image, *by = g + b * walk.image_gradients;
    for (Offset p = walk.rows * walk.columns, c = walk.columns; p; p -= BESIDE) {
#pragma GCC unroll 4
      for (int i = 0; i < BESIDE; ++i) {
        Accumulate<L, T, N, HOW>(sum, Places<T, HOW>(from, rows), 1, by);
        from += walk.column;
        by += walk.column_gradients;
      }
      const Offset ends = -Offset((c -= BESIDE) == 0);
      from += back & ends;
      by += back_gradients & ends;
      c += walk.columns & ends;
    }
  }
  for (int t = 0; t < T; ++t)
    for (int n = 0; n < N; ++n) Put<L>(At<L>(to[t] + L * n) + sum[t][n], to[t] + L * n);
}
