// Custom calls: convolutions.

#include "calls.h"
#include "convolve.h"

namespace {

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

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_convolve, Convolve,
    CNNJAX_MOVING.Attr<Pair>("holes").Attr<int64_t>("groups").Attr<bool>("flipped"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_finish, Finish,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Arg<Row>().Arg<Row>()
        .RemainingArgs().Ret<Array>().Attr<Pair>("stride").Attr<Pair>("low")
        .Attr<Pair>("dilation").Attr<Pair>("holes").Attr<int64_t>("groups").Attr<bool>("flipped")
        .Attr<float>("least").Attr<float>("most"));
