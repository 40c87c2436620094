// What is computed here, in parts that compile at once and without XLA's headers.
#pragma once

#include "after.h"
#include "norms.h"
#include "threads.h"

// [B, H, W, C] by [kh, kw, C / groups, O], flipped or not, to [B, H', W', O]; what is done after, if
// anything is, has its sums in `sums`.
void Convolve(const Pool& pool, const Shape& shape, bool flipped, const float* x, const float* w,
              float* y, const End& end, const After* after, float* sums);

// Of such maps and the gradients [B, H', W', O] of what came out, those by the weights.
void Correlate(const Pool& pool, const Shape& shape, const float* x, const float* g, float* w);

// Of v what lies where x is largest in each window, and the sum of g of all windows of which a value
// was picked. The taps of a window take the place of a kernel's.
void Pick(const Pool& pool, const Shape& shape, const float* x, const float* v, float* y);
void Place(const Pool& pool, const Shape& shape, const float* x, const float* g, float* d);

// Of g and x, both [places, channels], to [2, channels]: the sums of g and of g (x - center).
void Sums(const Pool& pool, const float* g, const float* x, const float* center, long places,
          int channels, float* to);
