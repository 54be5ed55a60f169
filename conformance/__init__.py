"""The conformance engine: judge a submission and re-verify its claims on a cluster.

Free of Django, so that a vendor can use it alone, on a laptop or in CI.
"""

__version__ = "0.1.0"
