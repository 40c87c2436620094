// Custom calls: convolutions.

#include "calls.h"
#include "convolve.h"
#include "sums.h"

namespace {

ffi::Error Convolve(ffi::ThreadPool pool, Array x, Array w, ffi::Result<Array> y, Pair stride,
                    Pair low, Pair dilation, Pair holes, int64_t groups, bool flipped) {
  const Moves moves{w.dimensions().first(2), stride, low, dilation, holes};
  Convolution{{{moves.Of(x, *y, groups)}, flipped}}.Run(pool, x.typed_data(), w.typed_data(),
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

// The moments of what a convolution is, for it to be normalised.
ffi::Error Measure(ffi::ThreadPool pool, Array x, Array w, Row scale, ffi::Result<Array> y,
                   Channels mean, Channels variance, Channels rate, Channels factor, Pair stride,
                   Pair low, Pair dilation, Pair holes, int64_t groups, bool flipped,
                   float epsilon) {
  const Moves moves{w.dimensions().first(2), stride, low, dilation, holes};
  const Shape shape = moves.Of(x, *y, groups);
  const After after;
  std::vector<float> sums(2 * shape.outputs);
  Convolution{{{shape}, flipped}, {}, &after}.Run(pool, x.typed_data(), w.typed_data(),
                                                  y->typed_data(), sums.data());
  Moments{mean->typed_data(), variance->typed_data(), rate->typed_data(), factor->typed_data()}.Of(
      sums.data(), scale.typed_data(), epsilon, long(shape.batch) * shape.pixels(), shape.outputs);
  return ffi::Error::Success();
}

// The gradients of a map that was normalised, maybe added to, and cut off by ReLU to `passed`: those
// that the convolution is, with `beside` or not, where anything passed, and their slopes.
ffi::Error Return(ffi::ThreadPool pool, Array x, Array w, Array passed, Array along, Row mean,
                  Row rate, Row factor, ffi::RemainingArgs beside, ffi::Result<Array> y,
                  Channels scale, Channels bias, Channels slope, Channels shift, Pair stride,
                  Pair low, Pair dilation, Pair holes, int64_t groups, bool flipped, float least,
                  float most) {
  const Moves moves{w.dimensions().first(2), stride, low, dilation, holes};
  const Shape shape = moves.Of(x, *y, groups);
  After after{passed.typed_data(), nullptr, along.typed_data(), mean.typed_data(), least, most};
  if (beside.size()) {
    const auto found = beside.get<Array>(0);
    if (!found) return found.error();
    after.beside = found->typed_data();
  }
  std::vector<float> sums(2 * shape.outputs);
  Convolution{{{shape}, flipped}, {}, &after}.Run(pool, x.typed_data(), w.typed_data(),
                                                  y->typed_data(), sums.data());
  Slopes{scale->typed_data(), bias->typed_data(), slope->typed_data(), shift->typed_data()}.Of(
      sums.data(), rate.typed_data(), factor.typed_data(), long(shape.batch) * shape.pixels(),
      shape.outputs);
  return ffi::Error::Success();
}

}  // namespace

// What a convolution is told beside its arrays.
#define CNNJAX_CONVOLVING(binding)                                                              \
  binding.Attr<Pair>("stride").Attr<Pair>("low").Attr<Pair>("dilation").Attr<Pair>("holes")     \
      .Attr<int64_t>("groups").Attr<bool>("flipped")
#define CNNJAX_BY_CHANNEL .Ret<Row>().Ret<Row>().Ret<Row>().Ret<Row>()

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_convolve, Convolve,
    CNNJAX_CONVOLVING(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>()
                          .Ret<Array>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_finish, Finish,
    CNNJAX_CONVOLVING(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Arg<Row>()
                          .Arg<Row>().RemainingArgs().Ret<Array>())
        .Attr<float>("least").Attr<float>("most"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_measure, Measure,
    CNNJAX_CONVOLVING(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Arg<Row>()
                          .Ret<Array>() CNNJAX_BY_CHANNEL)
        .Attr<float>("epsilon"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_return, Return,
    CNNJAX_CONVOLVING(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>()
                          .Arg<Array>().Arg<Array>().Arg<Row>().Arg<Row>().Arg<Row>()
                          .RemainingArgs().Ret<Array>() CNNJAX_BY_CHANNEL)
        .Attr<float>("least").Attr<float>("most"));
