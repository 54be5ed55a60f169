"""Defects of the metrics of accelerators."""

DEFECTS: dict[str, tuple[str, str]] = {
    "metrics-device-memory-missing": ("1.36", "the memory of one device of each node is not reported"),
    "metrics-device-missing": ("1.36", "one device of each node is not reported"),
    "metrics-empty": ("1.36", "what reports on the accelerators answers with nothing"),
    "metrics-exporter-missing": ("1.36", "nobody reports on the accelerators"),
    "metrics-foreign-names": ("1.36", "accelerators are reported under names nobody knows"),
    "metrics-frozen": ("1.36", "the reported utilisation never changes"),
    "metrics-memory-not-finite": ("1.36", "the reported memory is no finite number"),
    "metrics-misattributed": ("1.36", "the load on one device is reported for another"),
    "metrics-memory-missing": ("1.36", "the memory of accelerators is not reported"),
    "metrics-not-finite": ("1.36", "the reported utilisation is no number"),
    "metrics-utilization-missing": ("1.36", "the utilisation of accelerators is not reported"),
}
