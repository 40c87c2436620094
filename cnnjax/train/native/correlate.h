// The gradient of a convolution by its weights: what [B, H, W, C] and the gradients
// [B, H', W', O] of what came out say together of each tap, [kh, kw, C / groups, O].
#pragma once

#include <memory>

#include "products.h"
#include "threads.h"

struct Correlation {
  Axis axes[2];
  int batch, channels, outputs, groups;

  int depth() const { return channels / groups; }
  int width() const { return outputs / groups; }
  int pixels() const { return axes[0].out * axes[1].out; }
  bool each() const {  // Each channel by itself, in whole vectors of them.
    return groups == channels && groups == outputs && groups % HALF == 0;
  }
  int rows() const { return axes[0].taps * axes[1].taps * depth(); }  // Of a group's weights.
  Offset row() const { return each() ? outputs : (width() + HALF - 1) / HALF * HALF; }
  std::size_t size() const { return std::size_t(each() ? 1 : groups) * rows() * row(); }

  void Run(xla::ffi::ThreadPool& pool, const float* x, const float* g, float* w) const {
    const Padded padded[2] = {PaddedFor(axes[0]), PaddedFor(axes[1])};
    // Of few weights every thread has its own sums over its own images; many are shared out.
    const int threads = Threads(pool), parts = std::min(threads, std::max(1, batch));
    const bool shared = size() > MANY;
    const Offset image = Offset(padded[0].size) * padded[1].size * channels;
    const int enough = (256 + pixels() - 1) / std::max(1, pixels());
    const int fits = static_cast<int>((shared ? CACHED : 0) / std::max<Offset>(1, image));
    const int chunk =
        std::max(1, std::min(std::max(enough, fits), shared ? batch : (batch + parts - 1) / parts));
    const Table table = Tabled(padded, chunk);
    const int slots = shared ? 1 : parts;
    const int blocks = shared ? std::min(4 * threads, (rows() + PAIR - 1) / PAIR) : 1;
    // After the weights, a place for each block's sums that nobody wants.
    const std::size_t slot = size() + std::size_t(blocks) * 2 * WIDE;
    std::vector<float> sums(slot * slots);
    const auto images = [&](int first, int last, const auto& each_chunk) {
      for (int at = first; at < last; at += chunk) {
        const int count = std::min(chunk, last - at);
        each_chunk(Around(x + std::size_t(at) * axes[0].in * axes[1].in * channels, count, axes,
                          padded, channels),
                   g + std::size_t(at) * pixels() * outputs, count * pixels());
      }
    };
    if (shared) {
      const auto edge = [&](int i) {
        return std::min<long>(rows(), ((rows() + PAIR - 1) / PAIR) * long(i) / blocks * PAIR);
      };
      images(0, batch, [&](const float* xs, const float* gs, int places) {
        Share(pool, blocks, [&](int block) {
          Add(table, xs, gs, places, edge(block), edge(block + 1), sums.data(),
              size() + std::size_t(block) * 2 * WIDE);
        });
      });
    } else {
      Share(pool, parts, [&](int part) {
        images(long(batch) * part / parts, long(batch) * (part + 1) / parts,
               [&](const float* xs, const float* gs, int places) {
                 Add(table, xs, gs, places, 0, rows(), sums.data() + part * slot, size());
               });
      });
    }
    Gather(sums.data(), slots, slot, w);
  }

 private:
  static constexpr std::size_t MANY = 1 << 16;    // Weights.
  static constexpr Offset CACHED = 1 << 18;       // Floats of images, about what a cache holds.

  struct Table {
    std::vector<Offset> rows, to, places;
  };

  Table Tabled(const Padded (&padded)[2], int chunk) const {
    const auto& [down, across] = axes;
    const Offset line = Offset(padded[1].size) * channels;
    Table found;
    for (int i = 0; i < down.taps; ++i)
      for (int j = 0; j < across.taps; ++j)
        for (int c = 0; c < depth(); ++c) {
          const Offset at = (i * down.dilation - down.low + padded[0].before) * line;
          const Offset beside = j * across.dilation - across.low + padded[1].before;
          found.rows.push_back(at + beside * channels + c);
          found.to.push_back(Offset(found.to.size()) * row());
        }
    for (int b = 0; b < chunk; ++b)
      for (int r = 0; r < down.out; ++r)
        for (int s = 0; s < across.out; ++s)
          found.places.push_back((Offset(b) * padded[0].size + r * down.stride) * line +
                                 Offset(s) * across.stride * channels);
    return found;
  }

  // What so many places say, added to rows first to last - 1 of every group.
  void Add(const Table& table, const float* x, const float* g, int places, long first, long last,
           float* sums, Offset spare) const {
    if (each()) {
      for (int c = 0; c < channels;) {
        if (channels - c >= WIDE) {
          Tiles<WIDE, SINGLE, 1, true>(table, x + c, g + c, outputs, places, first, last, sums, c, spare);
          c += WIDE;
        } else {
          Tiles<HALF, SINGLE, 1, true>(table, x + c, g + c, outputs, places, first, last, sums, c, spare);
          c += HALF;
        }
      }
      return;
    }
    for (int group = 0; group < groups; ++group) {
      const float* xs = x + group * depth();
      const float* gs = g + group * width();
      const Offset base = Offset(group) * rows() * row();
      for (int o = 0; o < width();) {
        const int left = width() - o;
        const float* from = gs + o;
        const Offset to = base + o;
        if (left >= 2 * WIDE) {
          Tiles<WIDE, PAIR, 2, false>(table, xs, from, outputs, places, first, last, sums, to, spare);
          o += 2 * WIDE;
        } else if (left >= WIDE) {
          Tiles<WIDE, SINGLE, 1, false>(table, xs, from, outputs, places, first, last, sums, to, spare);
          o += WIDE;
        } else if (left >= HALF) {
          Tiles<HALF, SINGLE, 1, false>(table, xs, from, outputs, places, first, last, sums, to, spare);
          o += HALF;
        } else {  // Less than a vector: with zeros after it.
          std::vector<float> tail(std::size_t(places) * HALF);
          for (int p = 0; p < places; ++p)
            std::memcpy(&tail[std::size_t(p) * HALF], from + std::size_t(p) * outputs,
                        sizeof(float) * left);
          Tiles<HALF, SINGLE, 1, false>(table, xs, tail.data(), HALF, places, first, last, sums, to, spare);
          o += HALF;
        }
      }
    }
  }

  template <int L, int T, int N, bool EACH>
  void Tiles(const Table& table, const float* x, const float* g, Offset step, int places, long first,
             long last, float* sums, Offset base, Offset spare) const {
    for (long at = first; at < last; at += T) {
      const Offset *rows = table.rows.data() + at, *to = table.to.data() + at;
      Offset own_rows[T], own_to[T];
      if (at + T > last) {
        for (long t = 0; t < T; ++t) {
          const bool there = at + t < last;
          own_rows[t] = rows[there ? t : last - 1 - at];
          own_to[t] = there ? to[t] : spare - base;
        }
        rows = own_rows, to = own_to;
      }
      Correlated<L, T, N, EACH>(x, rows, table.places.data(), places, g, step, sums + base, to);
    }
  }

  // The sums of all threads, without the zeros after each row: [rows, groups, width].
  void Gather(const float* sums, int slots, std::size_t slot, float* w) const {
    const int parts = each() ? 1 : groups, across = each() ? outputs : width();
    for (int group = 0; group < parts; ++group)
      for (int r = 0; r < rows(); ++r) {
        const float* from = sums + (std::size_t(group) * rows() + r) * row();
        float* to = w + std::size_t(r) * outputs + group * across;
        std::memcpy(to, from, sizeof(float) * across);
        for (int s = 1; s < slots; ++s)
          for (int o = 0; o < across; ++o) to[o] += from[s * slot + o];
      }
  }
};
