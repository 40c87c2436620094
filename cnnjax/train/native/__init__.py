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

- Places in runs for whole vectors too, since an address took as much time as what it is of: 9 % at
  16 outputs, and 4 % where two vectors shared a tile, on rows of 16 and more.
- Weights' gradients tap by tap, whose rows of weights lie one after the other: no address but one,
  and nothing around the images is read, so that they are not copied. 16 channels of 32×32, 128
  images: 3.54 → 2.66 ms (oneDNN 2.78).
- What the next chunk reads and the next tile writes is fetched ahead: 7 to 12 %, of 1×1 10 %.
- No copy forward either, by tiles of places with the same taps alone: nothing. The copy had cost
  6 %, and so did what such tiles compute in vain and waiting for maps in no order.
- Freed memory in huge pages: 4 to 6 % of a step. All of it in the main thread, which computes, and
  not shared among threads, whose compilations had waited for each other: a quarter less to compile.
- Batch norm's small arrays made where the sums are, an epoch's permutation and keys by a program
  that all nets share, the schedule's cosine behind a condition, since it was in each of the
  optimiser's kernels: ResNet-20's kernels from 421 to 275, of which 160 to 108 differ and compile;
  2.9 → 1.8 s of XLA's time.

Then on two cores of an Intel Xeon (Cascade Lake, 2.5 GHz, shared with others: of the same loop they
multiply between 100 and 240 GFLOP/s, from one minute to the next), so as ratios of new to old:

- Inference with batch norm's factors, the shortcut and ReLU done to a convolution's sums before
  they leave the registers (`train.fusing`): expected what those passes take, 15 %. ResNet-20 0.86
  to 0.89, ResNet-56 0.67 to 0.74, VGG-11 0.85 to 0.98, MobileNet 0.87 to 0.89, LeNet-5, which has
  tanh and so no more than its biases to gain, 0.90 to 1.04; a sixth to a half less to compile.
- Two outputs of a row from 4 products for 6 (F(2, 3)): expected 0.70, found 0.83 to 1.0: what the
  products are of is twice the images, and two thirds of the products take more than two thirds of
  the loads. Their channels last, so that an address has constants alone: 0.75 to 0.92.
- Four outputs from 6 products for 12 (F(4, 3)), of which the images become one and a half: 0.61 to
  0.87 of 16 to 128 channels. Of more there is no gain, since the weights are what is read; nor at
  4×4 pixels, nor of 5 and 7 taps at 8×8, where taps that read padding alone are left out anyway.
- The same in weights' gradients: nothing at first, then 0.70 to 0.99 with four places between
  branches and, of 64 channels and more, with sums of each thread's own, since what one thread
  prepared alone the others waited for.
- Each chunk's sums from zero, then added: no time, and over 131,072 places gradients are 1.5e-6 of
  the largest off, where sums that went on were 1.3e-5 (6.8e-6 by the products of before).

- One of the six products of all quads of a tile after the other, since so a tile loads 0.6 numbers
  for a multiplication where it had loaded 1.25: 0.86 to 0.95 of 32 outputs and more, 0.84 to 0.90
  of 7 taps. Of 16 outputs and 3 taps 1.3, since a product by itself is too little to be worth
  storing; there all six stay together. So F(4, 3) pays up to 256 channels, 0.80 to 0.88 at 8×8
  pixels.
- Weights' gradients of more than 65,536 weights read each vector of channels as images of their
  own. Before, what a tile of 16 of 512 channels read lay 2 KB apart, and two sets of lines of the
  first cache held it all. Laid out by all threads: 0.60 to 0.90. Fewer weights are slower so (1.3),
  since threads then share each of their sums. With the former, VGG-11 with 128 images 0.95 → 0.67
  times PyTorch.
- The native code in three sources at once: 15.8 → 11.5 s on two cores.
- What moves a training's images is drawn with their keys: of the time to compile LeNet-5's step the
  mirror took 0.3 to 0.9 s, and takes 0.2.
- The gradients that weights' gradients are summed from, product by product too: nothing.

- A training's convolutions sum what batch norm asks of their results, and their gradients by input
  what passes ReLU and its sums, tile by tile while the cache has them (`train.fusing_training`):
  expected 12 % of the ResNets and 4 % of 7×7 kernels, found 4 to 6 % and 4. The sums of a map cost
  a twentieth of its convolution; what passes ReLU costs as much as the three maps that are read
  for it, some 7 GB/s while others used the machine, and fetching them ahead changed nothing.
- Four outputs of a dilated row from six products too, that far apart: 0.73 to 0.80 of such a
  convolution's time, which had been that of twice the products.
- Kernels of 4 and more taps in parts of 3 to 5, by F(4, 3), F(4, 4) and F(4, 5) whose products at
  the same point are summed together, in place of threes alone: 13 products for 16 of 7 taps, 8 for
  11 of 5, 7 for 16 of 4. Expected as much, and of rows of 8 pixels, where threes had not paid, 26
  for the 44 taps that read pixels. Found 0.82 and 0.70 of 7 taps at 32 and 16 pixels, 0.75 of 5,
  and 0.65 to 0.80 at 8 pixels once chunks hold enough images for tiles of outputs with the same
  taps. F(4, 7) would take 10 products, but is 7e-6 to 1e-5 of the largest off.
- Long sums in parts of 256 terms: no time, and by products over 256 channels 7×7 kernels are 1.5e-6
  of the largest off, where one sum of all was 1.2e-5.
- Every product's images, and its gradients, by themselves, in place of those of a row's: weights'
  gradients of 7 taps 0.80 to 0.90. Taps of a column one after the other, where weights are shared
  among threads, and twice the images at a time: another 0.85 to 0.95. With all that a step of the
  7×7 net with 32 images 330 → 190 to 230 ms.
- What is left of whole vectors summed, cut off and written as vectors by a mask, where it had been
  float by float: a step of three layers of 25, 50 and 99 outputs 15 → 10.5 ms on one core, of 5, 9
  and 18 by 5×5 kernels 9.6 → 6.8. By GCC's level 2 the native code compiles in 0.8 of the time, and
  is up to twice as slow. Not done.
- XLA's headers read by one source alone, whose calls are all of one type, since each had taken the
  compiler a second: 31 → 23 s of one core, on two cores 18 to 20 → 13 to 14 s. They pass while a
  study is planned, which had taken one core 5 to 10 s before.
- All of it, in the default study of filter sizes from an empty cache: 25 min 50 s by XLA's
  convolutions, before any of this, and 7 min 51 s now.

Calls that help each other must not lay images out in the same place: one that waited for its items
did those of another, and both summed the other's images (`Images` in geometry.h).

What bounds it, from profiles on the Xeon: memory, for what is not multiplied. A convolution with
its norm, forward and back, moves as much as its map some 17 times, what is written counted twice;
22 times before the above; 2 MB in ResNet-20's first stage with 32 images. Normalising while the
next convolution lays its images out, and a norm's gradient while both gradients of a convolution
are made of it, would leave 14.
"""
