"""Defects of the API server and of what every pod needs."""

DEFECTS: dict[str, tuple[str, str]] = {
    "api-errors-500": ("1.36", "the API server answers every request about workloads with 500"),
    "api-stalls": ("1.36", "the API server never answers a request about workloads"),
    "dra-v1-missing": ("1.35", "resource.k8s.io is served without v1"),
    "dra-verb-missing": ("1.35", "claim templates cannot be patched"),
    "dra-slices-missing": ("1.35", "resource.k8s.io/v1 lacks the slices in which drivers tell of devices"),
    "image-unpullable": ("1.36", "no image can be pulled from outside the cluster"),
    "logs-unreadable": ("1.36", "the logs of containers cannot be read"),
    "nodes-refuse-pods": ("1.36", "nodes turn away every pod the scheduler sends them"),
    "ported-pods-stuck": ("1.36", "nodes cannot set up the network of pods that declare a port"),
    "portless-pods-stuck": ("1.36", "nodes cannot set up the network of pods that declare no port"),
}
