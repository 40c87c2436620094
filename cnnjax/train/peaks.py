"""What makers say of their devices, by JAX's `device_kind`: dense peak and memory."""

from typing import NamedTuple


class Peak(NamedTuple):
    """Dense bfloat16 FLOPs a second (2 a multiply-accumulate), and bytes of memory, of one device.

    On GPUs float32 runs in TensorFloat-32 at half of it by JAX's default precision; on TPUs float32
    convolutions multiply in bfloat16 by default.
    """

    flops: float
    memory: float


# From the makers' data sheets; a device for which sources differ is left out.
_PEAKS = {
    "TPU v3": Peak(61.5e12, 16e9),  # A core of two, as JAX lists them.
    "TPU v4": Peak(275e12, 32e9),
    "TPU v5 lite": Peak(197e12, 16e9),
    "TPU v5": Peak(459e12, 95e9),
    "TPU v5p": Peak(459e12, 95e9),
    "TPU v6 lite": Peak(918e12, 32e9),
    "V100": Peak(125e12, 16e9),  # float16: it has no bfloat16.
    "T4": Peak(65e12, 16e9),  # float16.
    "L4": Peak(121e12, 24e9),
    "A100": Peak(312e12, 40e9),
    "H100 PCIe": Peak(756e12, 80e9),
    "H100": Peak(989e12, 80e9),
    "H200": Peak(989e12, 141e9),
}


def peak(kind: str) -> Peak | None:
    """Of a device by its `device_kind`, such as `NVIDIA H100 80GB HBM3`; None where not known."""
    if kind in _PEAKS:
        return _PEAKS[kind]
    words = set(kind.replace("-", " ").split())
    # GPUs' kinds say more than the model: of several that fit the one with most words.
    fits = [k for k in _PEAKS if not k.startswith("TPU") and {*k.split()} <= words]
    return _PEAKS[max(fits, key=len)] if fits else None
