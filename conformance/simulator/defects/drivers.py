"""Defects of the drivers of accelerators, and of how devices are shared and virtualised."""

DEFECTS: dict[str, tuple[str, str]] = {
    "container-runtime-unnamed": ("1.36", "nodes do not say which container runtime they have"),
    "driver-kernel-mismatch": ("1.36", "the kernel has loaded another driver than the advertised one"),
    "driver-library-mismatch": ("1.36", "containers get the libraries of another driver"),
    "driver-not-advertised": ("1.36", "neither devices nor nodes tell the version of the driver"),
    "driver-tools-missing": ("1.36", "containers get the device but no tools or libraries of the driver"),
    "driver-version-mismatch": ("1.36", "the driver that runs is not the one that is advertised"),
    "excess-device": ("1.36", "a container granted one device sees two"),
    "runtime-version-mismatch": ("1.36", "the driver's runtime is not the one that is advertised"),
    "sharing-apart": ("1.36", "what is offered as shares of one device are devices of their own"),
    "sharing-exclusive": ("1.36", "more shares are advertised than can be had"),
    "sharing-not-offered": ("1.36", "accelerators are handed out whole only"),
    "unrecognised-vendor": ("1.36", "the accelerators are of a vendor nobody knows"),
    "vgpu-not-allocatable": ("1.36", "a virtual accelerator is advertised and nobody can get it"),
    "vgpu-not-offered": ("1.36", "there are no virtual accelerators"),
    "vgpu-unhealthy": ("1.36", "a virtual accelerator cannot be opened by the pod that has it"),
    "vgpu-wrong-product": ("1.36", "a virtual accelerator is smaller than advertised"),
}
