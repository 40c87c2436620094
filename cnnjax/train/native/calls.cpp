// XLA's custom calls on the CPU, in float32: convolutions, NHWC by HWIO, pools, sums.

#include "convolve.h"
#include "correlate.h"
#include "pool.h"
#include "sums.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

using Array = ffi::Buffer<ffi::F32, 4>;
using Map = ffi::Buffer<ffi::F32, 2>;
using Row = ffi::Buffer<ffi::F32, 1>;
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

const int64_t ONES[2] = {1, 1};

ffi::Error Convolve(ffi::ThreadPool pool, Array x, Array w, ffi::Result<Array> y, Pair stride,
                    Pair low, Pair dilation, Pair holes, int64_t groups, bool flipped) {
  const Moves moves{w.dimensions().first(2), stride, low, dilation, holes};
  Convolution{{{moves.Of(x, *y, groups)}, flipped}, {}}.Run(pool, x.typed_data(), w.typed_data(),
                                                        y->typed_data());
  return ffi::Error::Success();
}

// The same and what follows it; `beside` is there or not.
ffi::Error Finish(ffi::ThreadPool pool, Array x, Array w, Row scale, Row shift,
                  ffi::RemainingArgs beside, ffi::Result<Array> y, Pair stride, Pair low,
                  Pair dilation, Pair holes, int64_t groups, bool flipped, float least,
                  float most) {
  const auto longer = [](Row row) {
    std::vector<float> copy(row.element_count() + 2 * WIDE);
    std::copy_n(row.typed_data(), row.element_count(), copy.data());
    return copy;
  };
  const std::vector<float> scales = longer(scale), shifts = longer(shift);
  End end{scales.data(), shifts.data(), nullptr, least, most};
  if (beside.size()) {
    const auto found = beside.get<Array>(0);
    if (!found) return found.error();
    end.beside = found->typed_data();
  }
  const Moves moves{w.dimensions().first(2), stride, low, dilation, holes};
  Convolution{{{moves.Of(x, *y, groups)}, flipped}, end}.Run(pool, x.typed_data(), w.typed_data(),
                                                         y->typed_data());
  return ffi::Error::Success();
}

ffi::Error Correlate(ffi::ThreadPool pool, Array x, Array g, ffi::Result<Array> w, Pair stride,
                     Pair low, Pair dilation, int64_t groups) {
  const Moves moves{w->dimensions().first(2), stride, low, dilation, Pair(ONES, 2)};
  Correlation{{{moves.Of(x, g, groups)}}}.Run(pool, x.typed_data(), g.typed_data(), w->typed_data());
  return ffi::Error::Success();
}

ffi::Error Pick(ffi::ThreadPool pool, Array x, Array v, ffi::Result<Array> y, Pair stride, Pair low,
                Pair dilation, Pair window) {
  const Moves moves{window, stride, low, dilation, Pair(ONES, 2)};
  Pooling{moves.Of(x, *y, 1)}.Pick(pool, x.typed_data(), v.typed_data(), y->typed_data());
  return ffi::Error::Success();
}

ffi::Error Place(ffi::ThreadPool pool, Array x, Array g, ffi::Result<Array> d, Pair stride,
                 Pair low, Pair dilation, Pair window) {
  const Moves moves{window, stride, low, dilation, Pair(ONES, 2)};
  Pooling{moves.Of(x, g, 1)}.Place(pool, x.typed_data(), g.typed_data(), d->typed_data());
  return ffi::Error::Success();
}

ffi::Error Sum(ffi::ThreadPool pool, Map g, Map x, Row center, ffi::Result<Map> to) {
  const auto size = x.dimensions();
  Sums(pool, g.typed_data(), x.typed_data(), center.typed_data(), size[0],
       static_cast<int>(size[1]), to->typed_data());
  return ffi::Error::Success();
}

using Channels = ffi::Result<Row>;

ffi::Error Moment(ffi::ThreadPool pool, Map x, Row scale, Channels mean, Channels variance,
                  Channels rate, Channels factor, float epsilon) {
  const auto size = x.dimensions();
  Moments(pool, x.typed_data(), scale.typed_data(), size[0], static_cast<int>(size[1]), epsilon,
          mean->typed_data(), variance->typed_data(), rate->typed_data(), factor->typed_data());
  return ffi::Error::Success();
}

ffi::Error Slope(ffi::ThreadPool pool, Map g, Map x, Row mean, Row rate, Row factor,
                 Channels scale, Channels bias, Channels slope, Channels shift) {
  const auto size = x.dimensions();
  Slopes(pool, g.typed_data(), x.typed_data(), mean.typed_data(), rate.typed_data(),
         factor.typed_data(), size[0], static_cast<int>(size[1]), scale->typed_data(),
         bias->typed_data(), slope->typed_data(), shift->typed_data());
  return ffi::Error::Success();
}

}  // namespace

// What is done with two arrays, while something moves.
#define CNNJAX_MOVING                                                                        \
  ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Ret<Array>()             \
      .Attr<Pair>("stride").Attr<Pair>("low").Attr<Pair>("dilation")

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_convolve, Convolve,
    CNNJAX_MOVING.Attr<Pair>("holes").Attr<int64_t>("groups").Attr<bool>("flipped"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_finish, Finish,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Arg<Row>().Arg<Row>()
        .RemainingArgs().Ret<Array>().Attr<Pair>("stride").Attr<Pair>("low")
        .Attr<Pair>("dilation").Attr<Pair>("holes").Attr<int64_t>("groups").Attr<bool>("flipped")
        .Attr<float>("least").Attr<float>("most"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_correlate, Correlate, CNNJAX_MOVING.Attr<int64_t>("groups"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_pick, Pick, CNNJAX_MOVING.Attr<Pair>("window"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_place, Place, CNNJAX_MOVING.Attr<Pair>("window"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_sums, Sum,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Map>().Arg<Map>().Arg<Row>().Ret<Map>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_moments, Moment,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Map>().Arg<Row>()
        .Ret<Row>().Ret<Row>().Ret<Row>().Ret<Row>().Attr<float>("epsilon"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_slopes, Slope,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Map>().Arg<Map>().Arg<Row>().Arg<Row>().Arg<Row>()
        .Ret<Row>().Ret<Row>().Ret<Row>().Ret<Row>());
