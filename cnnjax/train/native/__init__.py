"""Convolutions, pools and sums of this project's own, in C++ for the CPU.

What was expected of each step and what came of it, on two cores of an AMD EPYC (Zen 4, AVX-512),
32 images unless said; GFLOP/s are of one core (the fastest loop in its cache came to 117):

- Kernels in registers in place of XLA's: near oneDNN's pace, so ResNet-20 near PyTorch. A training
  step 149 → 67 ms (PyTorch 55), LeNet-5 4.8 → 2.5, MobileNet V1 × 0.25 268 → 67, VGG-11 none.
- 28 places of one vector in place of 24, stores unrolled: a few per cent. 16 outputs 90 → 115
  GFLOP/s in the cache; with zeros around images kept from call to call ResNet-20 61.5 → 57.9 ms.
- Places in lines, which share an address, for 8 outputs: 59 → 81 GFLOP/s, their weights' gradients
  54 → 86.
- Weights and gradients laid out panel by panel where there are many: VGG-11 234 → 193 ms.
- A second convolution helps the first before it begins: VGG-11 198 → 188 ms; nothing for ResNets.
- One vector everywhere, since it was faster in the cache: slower by 4 %, at 512 channels by half.
- Freed memory kept (`study.environment`): no pages to fetch anew. ResNet-20, 128 images, one step a
  dispatch 295 → 249 ms.
- Blocks unrolled (`train.scan`), now that convolutions take no time to compile: 3 to 7 %.

- Taps that read nothing but padding left out, places with the same taps computed together: at most
  what such taps are of all, 9 % of ResNet-20's MACs, 25 % of VGG-11's, 22 % with 7×7 kernels. At
  8×8 pixels 3×3 0.74 → 0.62 ms, 7×7 3.9 → 2.5; VGG-11 1.13 → 0.99 times PyTorch. In
  weights' gradients the walk through a smaller rectangle cost what it saved, until the ends of its
  rows took no branch.
- Threads share many weights by panels, rather than read all: 4 to 18 % of 512 channels' time.
- Sums of batch norm in one pass each, its gradient in closed form: ResNet-20 63 → 52 ms.
- Max pooling: with that `vgg4_slim`, whose step was pooling's gradient for a third, 2.8 → 1.8 ms.
  A net of 25, 50 and 99 channels trained longer than before, 7.1 → 12.3 s on one core, until what
  is left of whole vectors made shorter ones: 5.7 s.
- LLVM's level 1 for the training step: a tenth less to compile, the step 0 to 6 % slower. Not done.

Calls that help each other must not lay images out in the same place: one that waited for its items
did those of another, and both summed the other's images (`Images` in geometry.h).

What bounds it: every net's step takes less time than PyTorch's but that of ResNet-56 with 128
images, 1.10 times it. Of ResNet-20's 229 ms at 128 images convolutions were 171; the rest is passes
through memory, of which sums made 23 before they were native. A step compiles in 1.25 times what
plain Flax's takes: kernel by kernel, of which ResNet-20 has 422, 138 of them the optimiser's, two
for each array.
"""
