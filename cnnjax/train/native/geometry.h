// Where a convolution reads: one axis of the map, its padding, and which taps meet which outputs.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

using Offset = std::ptrdiff_t;  // In floats.

#if defined(__AVX512F__)
constexpr int WIDE = 16;  // Floats of a vector.
#elif defined(__AVX__)
constexpr int WIDE = 8;
#else
constexpr int WIDE = 4;
#endif
constexpr int HALF = WIDE / 2;

// Output i reads, at tap t, place i * stride + t * dilation - low of the input with holes - 1 zeros
// between its units.
struct Axis {
  int in, out, taps, stride, low, dilation, holes;

  int phases() const { return std::min(holes, out); }
  int step() const { return holes > 1 ? 1 : stride; }  // With holes there is no stride.
  bool has(int at) const { return 0 <= at && at < in; }
};

// Both products are of maps with `channels` and maps with `outputs`, in groups.
struct Shape {
  Axis axes[2];
  int batch, channels, outputs, groups;

  int depth() const { return channels / groups; }
  int width() const { return outputs / groups; }
  int pixels() const { return axes[0].out * axes[1].out; }
  int taps() const { return axes[0].taps * axes[1].taps; }
  bool each() const {  // Each channel by itself, in whole vectors of them.
    return groups == channels && groups == outputs && groups % HALF == 0;
  }
};

// The outputs phase, phase + holes, ... meet the same taps, at the same distance; others meet
// holes.
struct Meeting {
  int tap, off;  // The first of these outputs reads unit `off` of the input.
};

inline std::vector<Meeting> Meetings(const Axis& a, int phase) {
  std::vector<Meeting> found;
  for (int t = 0; t < a.taps; ++t) {
    const int at = phase * a.stride + t * a.dilation - a.low;
    const int rest = ((at % a.holes) + a.holes) % a.holes;
    if (rest == 0) found.push_back({t, (at - rest) / a.holes});
  }
  return found;
}

// So many zeros before the input and its size with those around it that any output reads.
struct Padded {
  int before, size;
};

inline Padded PaddedFor(const Axis& a) {
  int low = 0, high = a.in - 1;
  for (int p = 0; p < a.phases(); ++p) {
    const int last = (a.out - p + a.holes - 1) / a.holes - 1;
    for (const Meeting& m : Meetings(a, p)) {
      low = std::min(low, m.off);
      high = std::max(high, m.off + last * a.step());
    }
  }
  return {-low, high - low + 1};
}

// Has the processor fetch floats that are read next, in equal parts while something else is computed.
class Ahead {
 public:
  static constexpr long LINE = 16;  // Of a cache.

  Ahead(const float* from, const float* to, long parts)
      : at_(from), end_(to), part_((to - from) / std::max(1L, parts) / LINE * LINE + LINE) {}

  void Part() {
    for (const float* to = std::min(end_, at_ + part_); at_ < to; at_ += LINE)
      __builtin_prefetch(at_, 0, 2);
  }

 private:
  const float *at_, *end_;
  const long part_;
};

// Images [count, rows, columns, channels] with zeros around, where any are read: as they are, or a
// copy that lives until the next.
class Images {
 public:
  const float* Around(const float* x, int count, const Shape& s, const Padded (&padded)[2]) {
    const int rows = s.axes[0].in, columns = s.axes[1].in;
    if (padded[0].size == rows && padded[1].size == columns) return x;
    const std::size_t row = std::size_t(columns) * s.channels;
    return Made(count, s, padded, [&](int image, int r, float* to) {
      std::memcpy(to, x + (std::size_t(image) * rows + r) * row, sizeof(float) * row);
    });
  }

  // Rows as make(image, row, to) makes them, with zeros around.
  template <typename Make>
  const float* Made(int count, const Shape& s, const Padded (&padded)[2], const Make& make) {
    float* to = Room(count, s, padded);
    for (int i = 0; i < count; ++i) Rows(i, s, padded, to, make);
    return to;
  }

  // Where such rows go, with the zeros.
  float* Room(int count, const Shape& s, const Padded (&padded)[2]) {
    const std::size_t image = std::size_t(padded[0].size) * padded[1].size * s.channels;
    const std::array<int, 7> laid{s.axes[0].in,   s.axes[1].in,      padded[0].before,
                                  padded[0].size, padded[1].before, padded[1].size,
                                  s.channels};
    if (laid_ != laid) copy_.clear();  // Else the zeros of the last time are where they must be.
    laid_ = laid;
    if (copy_.size() < count * image) copy_.resize(count * image);
    return copy_.data();
  }

  template <typename Make>
  static void Rows(int image, const Shape& s, const Padded (&padded)[2], float* to,
                   const Make& make) {
    const std::size_t line = std::size_t(padded[1].size) * s.channels;
    for (int r = 0; r < s.axes[0].in; ++r)
      make(image, r,
           to + (std::size_t(image) * padded[0].size + r + padded[0].before) * line +
               std::size_t(padded[1].before) * s.channels);
  }

  // Of an item of work: this thread's, until its next item.
  static Images& Item() {
    thread_local Images images;
    return images;
  }

  // Of a call, whose thread may do items of other calls while its own threads read them.
  static Images& Call() {
    thread_local Images images;
    return images;
  }

 private:
  std::vector<float> copy_;
  std::array<int, 7> laid_{};
};
