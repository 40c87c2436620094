// What lies where a map is largest in each window of it, the first of equals, and its gradient; and
// sums over the places of maps.

#include <limits>

#include "kernels.h"

namespace {

struct Pooling : Shape {  // The taps of a window take the place of a kernel's.
  // y: for each window the value of v [B, H, W, C] where x of the same shape is largest.
  void Pick(const Pool& pool, const float* x, const float* v, float* y) const {
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
  void Place(const Pool& pool, const float* x, const float* g, float* d) const {
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
  void Windows(const Pool& pool, const Work& work) const {
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

}  // namespace

void Pick(const Pool& pool, const Shape& shape, const float* x, const float* v, float* y) {
  Pooling{shape}.Pick(pool, x, v, y);
}

void Place(const Pool& pool, const Shape& shape, const float* x, const float* g, float* d) {
  Pooling{shape}.Place(pool, x, g, d);
}

// In blocks, of which no number of threads changes any.
void Sums(const Pool& pool, const float* g, const float* x, const float* center, long places,
          int channels, float* to) {
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
