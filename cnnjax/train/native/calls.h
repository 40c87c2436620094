// What XLA's custom calls on the CPU have in common: float32 arrays, maps NHWC and weights HWIO.
#pragma once

#include "geometry.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

using Array = ffi::Buffer<ffi::F32, 4>;
using Map = ffi::Buffer<ffi::F32, 2>;
using Row = ffi::Buffer<ffi::F32, 1>;
using Channels = ffi::Result<Row>;
using Pair = ffi::Span<const int64_t>;

// From a map to one of other rows and columns. What moves over either has so many taps.
struct Moves {
  Pair taps, stride, low, dilation, holes;

  Shape Of(const Array& from, const Array& to, int64_t groups) const {
    const auto in = from.dimensions(), out = to.dimensions();
    const auto axis = [&](int i) {
      return Axis{int(in[1 + i]), int(out[1 + i]),  int(taps[i]), int(stride[i]),
                  int(low[i]),    int(dilation[i]), int(holes[i])};
    };
    return {{axis(0), axis(1)}, int(in[0]), int(in[3]), int(out[3]), int(groups)};
  }
};

inline const int64_t ONES[2] = {1, 1};

// What is done with two arrays, while something moves.
#define CNNJAX_MOVING                                                                        \
  ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Ret<Array>()             \
      .Attr<Pair>("stride").Attr<Pair>("low").Attr<Pair>("dilation")
