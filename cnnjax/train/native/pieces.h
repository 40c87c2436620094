// The gradients that the sums of a convolution's weights are made of, and the weights of the sums.
#pragma once

#include "quads.h"

// Gradients of outputs first to first + size - 1 of a group, from one place, or quad, to the next.
struct Piece {
  int group, first, size, lanes;  // They are `lanes` wide, whatever follows what is less.
  const float* gradients;
  Offset step, product;  // The latter from one point's products to the next.
};

struct Gradients : Plan {
  // Taps of a row, or what they are made of; and the rows of a group's sums.
  int across() const { return quads ? quads->products() : axes[1].taps; }
  int rows() const { return axes[0].taps * across() * depth(); }
  Offset row() const { return each() ? outputs : (width() + HALF - 1) / HALF * HALF; }
  std::size_t size() const { return std::size_t(each() ? 1 : groups) * rows() * row(); }

  // Whether every tile is of one tap, which reads nothing around the images.
  bool whole() const { return !each() && depth() % ROWS == 0; }
  bool shared() const { return size() > (quads ? 2 * MANY : MANY); }
  // Whether each vector of channels has images of its own, since so many sums read it one by one.
  bool vectors() const { return shared() && whole() && groups == 1; }

  // Gradients as they are, where they are whole vectors and lie close together, or piece by piece;
  // all(n, work) does work(0) to work(n - 1).
  template <typename All>
  std::vector<Piece> Pieces(const float* g, int places, std::vector<float>& own,
                            const All& all) const {
    std::vector<Piece> pieces;
    if (each()) {
      for (int c = 0; c < channels; c += pieces.back().lanes) {
        const int lanes = channels - c >= WIDE ? WIDE : HALF;
        pieces.push_back({0, c, lanes, lanes, g + c, outputs, 0});
      }
      return pieces;
    }
    const bool direct = !quads && width() % HALF == 0 && width() <= 2 * WIDE;
    // Of many weights one vector is summed at a time, so that rows are a whole line of the images.
    const bool pairs = !whole() || !shared();
    // Of a place, or of the products of four.
    const int of = quads ? quads->points() : 1, four = quads ? QUAD : 1;
    if (!direct) own.resize(std::size_t(places / four * of) * row() * groups);
    for (int group = 0; group < groups; ++group)
      for (int o = 0; o < width(); o += pieces.back().lanes) {
        const int left = static_cast<int>(row()) - o;
        const int lanes = left >= 2 * WIDE && pairs ? 2 * WIDE : left >= WIDE ? WIDE : HALF;
        const int size = std::min(width() - o, lanes);
        const float* from = g + group * width() + o;
        if (direct) {
          pieces.push_back({group, o, size, lanes, from, outputs, 0});
          continue;
        }
        float* to = own.data() + std::size_t(places / four * of) * (group * row() + o);
        pieces.push_back({group, o, size, lanes, to, lanes, Offset(places / four) * lanes});
      }
    if (!direct)
      all(static_cast<int>(pieces.size()), [&](int i) {
        const Piece& piece = pieces[i];
        Fill(piece, g + piece.group * width() + piece.first, places,
             own.data() + (piece.gradients - own.data()));
      });
    return pieces;
  }

  // The sums of all threads, without what follows each row: [rows, groups, width].
  void Gather(float* sums, int slots, float* w) const {
    if (quads) return GatherParts(sums, slots, w);
    const int parts = each() ? 1 : groups, across = each() ? outputs : width();
    for (int group = 0; group < parts; ++group)
      for (int r = 0; r < rows(); ++r) {
        const float* from = sums + (std::size_t(group) * rows() + r) * row();
        float* to = w + std::size_t(r) * outputs + group * across;
        std::memcpy(to, from, sizeof(float) * across);
        for (int s = 1; s < slots; ++s)
          for (int o = 0; o < across; ++o) to[o] += from[s * size() + o];
      }
  }

 private:
  void Fill(const Piece& piece, const float* from, int places, float* to) const {
    if (quads)
      return OfTaps(quads->size(0), [&](auto taps) { Fours<taps()>(piece, from, places, to); });
    for (int p = 0; p < places; ++p, to += piece.step)
      std::memcpy(to, from + Offset(p) * outputs, sizeof(float) * piece.size);
  }

  template <int TAPS>
  void Fours(const Piece& piece, const float* from, int places, float* to) const {
    const int size = piece.size;
    const auto products = size < piece.lanes ? GradientsOf<TAPS, 0>
                          : size == WIDE     ? GradientsOf<TAPS, WIDE>
                          : size == HALF     ? GradientsOf<TAPS, HALF>
                                             : GradientsOf<TAPS, 2 * WIDE>;
    const Offset apart = quads->beside();
    for (int p = 0; p < places; p += QUAD, to += piece.step)
      products(from + quads->Written(Offset(p) * outputs), apart, size, piece.product, to);
  }

  static constexpr std::size_t MANY = 1 << 16;  // Weights.

  // The same of sums of products: of all slots, part by part.
  void GatherParts(float* sums, int slots, float* w) const {
    for (int s = 1; s < slots; ++s)
      for (std::size_t i = 0; i < size(); ++i) sums[i] += sums[s * size() + i];
    const Offset number = Offset(depth()) * row();
    for (int group = 0; group < groups; ++group)
      for (int i = 0; i < axes[0].taps; ++i)
        for (int part = 0; part < quads->parts(); sums += quads->of(part++) * number)
          for (int c = 0; c < depth(); ++c) {
            const float* m[EIGHT];
            float* to[MOST];
            for (int k = 0; k < quads->of(part); ++k) m[k] = sums + k * number + c * row();
            for (int t = 0; t < quads->size(part); ++t) {
              const Offset tap = i * axes[1].taps + quads->begin(part) + t;
              to[t] = w + (tap * depth() + c) * outputs + group * width();
            }
            OfTaps(quads->size(part), [&](auto taps) { TapsFrom<taps()>(m, width(), to); });
          }
  }
};
