// Custom calls: convolutions' gradients by their weights.

#include "calls.h"
#include "correlate.h"

namespace {

ffi::Error Correlate(ffi::ThreadPool pool, Array x, Array g, ffi::Result<Array> w, Pair stride,
                     Pair low, Pair dilation, int64_t groups) {
  const Moves moves{w->dimensions().first(2), stride, low, dilation, Pair(ONES, 2)};
  Correlation{{{moves.Of(x, g, groups)}}}.Run(pool, x.typed_data(), g.typed_data(), w->typed_data());
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_correlate, Correlate, CNNJAX_MOVING.Attr<int64_t>("groups"));
