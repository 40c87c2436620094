// The gradients that the sums of a convolution's weights are made of, and the weights of the sums.
#pragma once

#include "winograd.h"

// Gradients of outputs first to first + size - 1 of a group, from one place, or quad, to the next.
struct Piece {
  int group, first, size, lanes;  // They are `lanes` wide, whatever follows what is less.
  const float* gradients;
  Offset step;
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
        pieces.push_back({0, c, lanes, lanes, g + c, outputs});
      }
      return pieces;
    }
    const bool direct = !quads && width() % HALF == 0 && width() <= 2 * WIDE;
    // Of many weights one vector is summed at a time, so that rows are a whole line of the images.
    const bool pairs = !whole() || !shared();
    // Of a place, or of the six products of four.
    const int six = quads ? SIX : 1, four = quads ? QUAD : 1;
    if (!direct) own.resize(std::size_t(places / four * six) * row() * groups);
    for (int group = 0; group < groups; ++group)
      for (int o = 0; o < width(); o += pieces.back().lanes) {
        const int left = static_cast<int>(row()) - o;
        const int lanes = left >= 2 * WIDE && pairs ? 2 * WIDE : left >= WIDE ? WIDE : HALF;
        const int size = std::min(width() - o, lanes);
        const float* from = g + group * width() + o;
        if (direct) {
          pieces.push_back({group, o, size, lanes, from, outputs});
          continue;
        }
        float* to = own.data() + std::size_t(places / four * six) * (group * row() + o);
        pieces.push_back({group, o, size, lanes, to, six * lanes});
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
    if (quads) return GatherThrees(sums, slots, w);
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
    const int size = piece.size, lanes = piece.lanes;
    const auto six_of = size < lanes   ? SixOfGradients<0>
                        : size == WIDE ? SixOfGradients<WIDE>
                        : size == HALF ? SixOfGradients<HALF>
                                       : SixOfGradients<2 * WIDE>;
    const int step = quads ? QUAD : 1;
    for (int p = 0; p < places; p += step, to += piece.step)
      if (quads)
        six_of(from + quads->Written(Offset(p) * outputs), quads->beside(), size, lanes, to);
      else
        std::memcpy(to, from + Offset(p) * outputs, sizeof(float) * size);
  }

  static constexpr std::size_t MANY = 1 << 16;  // Weights.

  // The same of sums of products: of all slots, three by three.
  void GatherThrees(float* sums, int slots, float* w) const {
    for (int s = 1; s < slots; ++s)
      for (std::size_t i = 0; i < size(); ++i) sums[i] += sums[s * size() + i];
    const Offset tap = Offset(depth()) * row();
    for (int group = 0; group < groups; ++group)
      for (int i = 0; i < axes[0].taps; ++i)
        for (int t = 0; t < quads->threes(); ++t)
          for (int c = 0; c < depth(); ++c) {
            // Of the second three on, the first product is one that nobody made.
            const float* first =
                sums + ((group * axes[0].taps + i) * across() + t * (SIX - 1)) * tap + c * row();
            const float* m[SIX];
            for (int k = 0; k < SIX; ++k) m[k] = first + k * tap;
            float* three[3];
            for (int j = 0; j < 3; ++j)
              three[j] = w + ((i * axes[1].taps + 2 * t + j) * Offset(depth()) + c) * outputs +
                         group * width();
            ThreeOf(m, width(), t == 0, three);
          }
  }
};
