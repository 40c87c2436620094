"""ResNet-50 at 224 pixels, 90 epochs: 76.4 % top-1 (Goyal et al. 2017, table 1).

The baseline of the paper's §5: batches of 256, 23.60 ± 0.12 % validation error over five trials.
Learning rates scale with the batch size, with five epochs of warm-up, which the paper shows to hold
to batches of 8,192 (23.74 ± 0.09 %). torchvision's first weights, trained much alike, have 76.13 %.

What differs here: batch statistics are those of the whole batch, where the paper's are of 32 images
(`--batch_norm=device` on 8 devices); warm-up begins at 0 and not at the rate for 256; biases don't
decay; the paper's changes of colour are left out, as torchvision leaves them out. No such training
has been run with this project.
"""

from cnnjax.train.recipe import SGD, Recipe, Step

RECIPE = Recipe(
    epochs=90,
    batch_size=256,
    learning_rate=0.1,
    base_batch_size=256,
    optimizer=SGD(momentum=0.9, nesterov=True),
    schedule=Step(warmup=5 / 90, milestones=(30 / 90, 60 / 90, 80 / 90), factor=0.1),
    weight_decay=1e-4,
    crop_scale=0.08,
    flip=True,
)
