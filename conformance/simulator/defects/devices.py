"""Defects of the accelerators and of what hands them out."""

DEFECTS: dict[str, tuple[str, str]] = {
    "device-leak": ("1.36", "a pod without a request sees every device of its node"),
    "device-not-injected": ("1.36", "a container that is granted a device finds none"),
    "device-open-bypass": ("1.36", "a container can open a device that another one was granted"),
    "device-rules-loose": ("1.36", "a container with a device can open all of its node"),
    "no-accelerators": ("1.36", "no node has an accelerator"),
    "shared-device": ("1.36", "the driver hands one device to two claims"),
    "sibling-container-leak": ("1.36", "every container of a pod sees the device granted to one"),
    "single-device": ("1.36", "the cluster has a single accelerator"),
}
