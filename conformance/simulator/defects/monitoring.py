"""Defects of the monitoring system and of the network it works over."""

DEFECTS: dict[str, tuple[str, str]] = {
    "monitoring-distorts-counters": ("1.36", "collected counters are one too low"),
    "monitoring-distorts-gauges": ("1.36", "collected gauges are one too low"),
    "monitoring-distorts-histograms": ("1.36", "collected histograms are one too low"),
    "monitoring-drops-buckets": ("1.36", "collected buckets of histograms are thrown away"),
    "monitoring-drops-counters": ("1.36", "collected counters are thrown away"),
    "monitoring-drops-gauges": ("1.36", "collected gauges are thrown away"),
    "monitoring-drops-histograms": ("1.36", "collected histograms are thrown away"),
    "monitoring-endpoint-down": ("1.36", "the query endpoint of the monitoring system answers 503"),
    "monitoring-ignores-targets": ("1.36", "the monitoring system discovers no workloads"),
    "monitoring-missing": ("1.36", "no monitoring system is installed"),
    "pod-network-down": ("1.36", "pods do not reach each other"),
    "pod-network-flaky": ("1.36", "one in four requests between pods is lost"),
}
