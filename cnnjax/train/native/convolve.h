// [B, H, W, C] convolved by [kh, kw, C / groups, O], and the gradient by its input, which is such a
// convolution too: by the flipped weights, with holes where the stride skipped.
#pragma once

#include <memory>

#include "products.h"
#include "threads.h"

// Weights as rows of outputs, from one input channel to the next, one tap and one group to the next.
struct Weights {
  const float* data;
  Offset row, tap, group;
  std::unique_ptr<float[]> own;
};

// Outputs that meet the same taps, in one chunk of images, image by image.
struct Phase {
  std::vector<Offset> places, to, taps, weights;
  int each;  // Outputs of one image.
};

struct Convolution {
  Axis axes[2];
  int batch, channels, outputs, groups;  // Of x and y.
  bool flipped;  // Weights are [kh, kw, outputs / groups, channels], to be turned.

  int depth() const { return channels / groups; }
  int width() const { return outputs / groups; }
  int pixels() const { return axes[0].out * axes[1].out; }
  int taps() const { return axes[0].taps * axes[1].taps; }
  bool each() const {  // Each channel by itself, in whole vectors of them.
    return groups == channels && groups == outputs && groups % HALF == 0;
  }

  void Run(xla::ffi::ThreadPool& pool, const float* x, const float* w, float* y) const {
    const Padded padded[2] = {PaddedFor(axes[0]), PaddedFor(axes[1])};
    const Weights weights = Laid(pool, w);
    // A chunk gives every tile enough places, and every thread a chunk; where images are fewer than
    // threads, they share the places of each.
    const int threads = Threads(pool);
    const int enough = (256 + pixels() - 1) / std::max(1, pixels());
    const int chunk = std::max(1, std::min(enough, (batch + threads - 1) / threads));
    const int chunks = (batch + chunk - 1) / chunk;
    const int bands = chunks < threads ? (threads + chunks - 1) / chunks : 1;
    const std::vector<Phase> phases = Phases(padded, weights, chunk);
    const std::size_t image = std::size_t(axes[0].in) * axes[1].in * channels;
    Share(pool, chunks * bands, [&](int item) {
      const int first = item / bands * chunk, band = item % bands;
      const int count = std::min(chunk, batch - first);
      const float* from = Around(x + first * image, count, axes, padded, channels);
      for (const Phase& phase : phases) {
        const long total = long(phase.each) * count;
        Part(phase, total * band / bands, total * (band + 1) / bands, from, weights,
             y + std::size_t(first) * pixels() * outputs);
      }
    });
  }

 private:
  // As they are, where rows are whole vectors, else with zeros after each row.
  Weights Laid(xla::ffi::ThreadPool& pool, const float* w) const {
    const Offset row = (width() + HALF - 1) / HALF * HALF;
    if (each() || (!flipped && row == width()))
      return {w, outputs, Offset(depth()) * outputs, width(), nullptr};
    Weights laid{nullptr, row, depth() * row * groups, depth() * row, nullptr};
    laid.own.reset(new float[laid.tap * taps()]);
    laid.data = laid.own.get();
    Share(pool, taps() * groups, [&](int item) {
      const int tap = item / groups, group = item % groups;
      float* to = laid.own.get() + tap * laid.tap + group * laid.group;
      if (flipped) {
        Turned(w + (Offset(tap) * width()) * channels + group * depth(), to, row);
      } else {
        const float* from = w + Offset(tap) * depth() * outputs + group * width();
        for (int c = 0; c < depth(); ++c)
          for (int o = 0; o < row; ++o)
            to[c * row + o] = o < width() ? from[Offset(c) * outputs + o] : 0.0f;
      }
    });
    return laid;
  }

  // [width, channels] → [depth, row], in blocks that the cache holds.
  void Turned(const float* from, float* to, Offset row) const {
    constexpr int BLOCK = 16;
    for (int o0 = 0; o0 < row; o0 += BLOCK)
      for (int c0 = 0; c0 < depth(); c0 += BLOCK)
        for (int c = c0; c < std::min(depth(), c0 + BLOCK); ++c)
          for (int o = o0; o < std::min<int>(row, o0 + BLOCK); ++o)
            to[c * row + o] = o < width() ? from[Offset(o) * channels + c] : 0.0f;
  }

  std::vector<Phase> Phases(const Padded (&padded)[2], const Weights& w, int chunk) const {
    const auto& [down, across] = axes;
    const Offset line = Offset(padded[1].size) * channels;
    std::vector<Phase> found;
    for (int p = 0; p < down.phases(); ++p)
      for (int q = 0; q < across.phases(); ++q) {
        Phase phase;
        for (const Meeting& i : Meetings(down, p))
          for (const Meeting& j : Meetings(across, q)) {
            const int tap = i.tap * across.taps + j.tap;
            phase.taps.push_back((i.off + padded[0].before) * line +
                                 Offset(j.off + padded[1].before) * channels);
            phase.weights.push_back((flipped ? taps() - 1 - tap : tap) * w.tap);
          }
        for (int b = 0; b < chunk; ++b)
          for (int r = p, m = 0; r < down.out; r += down.holes, ++m)
            for (int s = q, n = 0; s < across.out; s += across.holes, ++n) {
              phase.places.push_back((Offset(b) * padded[0].size + m * down.step()) * line +
                                     Offset(n) * across.step() * channels);
              phase.to.push_back((Offset(b) * pixels() + r * across.out + s) * outputs);
            }
        phase.each = static_cast<int>(phase.places.size()) / chunk;
        found.push_back(std::move(phase));
      }
    return found;
  }

  // Places first to last - 1 of a phase, for all outputs.
  void Part(const Phase& phase, long first, long last, const float* x, const Weights& w,
            float* y) const {
    if (each()) {
      for (int c = 0; c < channels;) {
        if (channels - c >= WIDE) {
          Tiles<WIDE, SINGLE, 1, true>(phase, first, last, x + c, w.data + c, w.row, y + c, WIDE);
          c += WIDE;
        } else {
          Tiles<HALF, SINGLE, 1, true>(phase, first, last, x + c, w.data + c, w.row, y + c, HALF);
          c += HALF;
        }
      }
      return;
    }
    for (int group = 0; group < groups; ++group)
      for (int o = 0; o < width();) {
        const int left = width() - o;
        const float* from = x + group * depth();
        const float* by = w.data + group * w.group + o;
        float* to = y + group * width() + o;
        if (left > WIDE + HALF) {
          const int now = std::min(left, 2 * WIDE);
          Tiles<WIDE, PAIR, 2, false>(phase, first, last, from, by, w.row, to, now);
          o += now;
        } else if (left > HALF) {
          const int now = std::min(left, WIDE);
          Tiles<WIDE, SINGLE, 1, false>(phase, first, last, from, by, w.row, to, now);
          o += now;
        } else {
          Tiles<HALF, SINGLE, 1, false>(phase, first, last, from, by, w.row, to, left);
          o += left;
        }
      }
  }

  template <int L, int T, int N, bool EACH>
  void Tiles(const Phase& phase, long first, long last, const float* x, const float* w, Offset row,
             float* y, int width) const {
    const auto tile = [&](const Offset* places, const Offset* to) {
      Convolved<L, T, N, EACH>(x, places, phase.taps.data(), phase.weights.data(),
                               static_cast<int>(phase.taps.size()), depth(), w, row, y, to, width);
    };
    if (last - first >= T) {  // The last tile may compute again what the one before it did.
      for (long at = first; at < last; at += T) {
        const long begin = std::min(at, last - T);
        tile(phase.places.data() + begin, phase.to.data() + begin);
      }
    } else if (first < last) {
      Offset places[T], to[T];
      for (long t = 0; t < T; ++t) {
        const long begin = std::min(first + t, last - 1);
        places[t] = phase.places[begin], to[t] = phase.to[begin];
      }
      tile(places, to);
    }
  }
};
