"""A simulated Kubernetes cluster: an API server with the controllers a platform for AI needs.

It serves tests and the demo. What it shows is labelled simulated and never certifies anything.
"""

from __future__ import annotations

from conformance.simulator.cluster import SimulatedCluster, start
from conformance.simulator.profiles import UnknownProfileError, descriptions

__all__ = ["SimulatedCluster", "UnknownProfileError", "descriptions", "start"]
