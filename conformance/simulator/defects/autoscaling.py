"""Defects of what scales nodes and pods."""

DEFECTS: dict[str, tuple[str, str]] = {
    "autoscaler-adds-bare-nodes": ("1.36", "the nodes the autoscaler adds have no accelerators"),
    "autoscaler-evicts": ("1.36", "the autoscaler ends protected pods instead of adding a node"),
    "autoscaler-never-adds": ("1.36", "the autoscaler ignores pods that wait for an accelerator"),
    "autoscaler-never-removes": ("1.36", "the autoscaler keeps nodes that nobody needs any more"),
    "autoscaler-quota": ("1.36", "the cloud refuses new nodes: a quota is used up"),
    "autoscaler-restless": ("1.36", "the autoscaler adds a node again as soon as one is gone"),
    "hpa-ignores-metric": ("1.36", "the pod autoscaler sees the metric and does nothing"),
    "hpa-never-scales-down": ("1.36", "the pod autoscaler adds pods and never takes one away"),
    "hpa-not-active": ("1.36", "the pod autoscaler cannot read the metric everybody else can"),
    "hpa-scales-inactive": ("1.36", "something scales the pods while the autoscaler says it is not active"),
    "metrics-adapter-blind": ("1.36", "the metrics adapter knows no metric of any pod"),
    "metrics-adapter-missing": ("1.36", "nothing serves custom metrics"),
    "metrics-adapter-never-falls": ("1.36", "the metrics adapter shows the highest value it has seen"),
    "metrics-adapter-stuck": ("1.36", "the metrics adapter shows the same value for ever"),
    "pool-busy": ("1.36", "somebody else holds an accelerator of the scaled pool"),
    "pool-cordoned-when-full": ("1.36", "nodes of the pool are closed once their accelerators are taken"),
    "pool-unsteady": ("1.36", "nodes of the pool come and go with nobody asking"),
    "scaled-pod-never-ready": ("1.36", "the pods a replica set adds to its first are never Ready"),
    "scaled-pod-without-device": ("1.36", "the pods a replica set adds to its first lose their accelerator"),
}
