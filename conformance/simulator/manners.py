"""What real API servers do that a plain simulated one does not: the manners a profile may have."""

from __future__ import annotations

THROTTLING, WARNINGS, OWNERSHIP = "throttling", "warnings", "managed-fields"
ADMISSION, EVENTS, AGGREGATION = "admission", "events", "aggregated-api-down"
DISCOVERY, CONVERSION, WATCHES = "slow-discovery", "conversion", "short-watches"

MANNERS: dict[str, str] = {
    THROTTLING: "now and then a request is turned away with 429 and Retry-After",
    WARNINGS: "writes are answered with Warning headers",
    OWNERSHIP: "every object has managed fields, those the cluster wrote itself as well",
    ADMISSION: "a policy engine changes pods and namespaces on their way in",
    EVENTS: "the scheduler's events have an event time and neither count nor source",
    AGGREGATION: "the server behind an aggregated API does not answer",
    DISCOVERY: "discovery takes its time",
    CONVERSION: "custom resources are served, and looked at by webhooks, in an older version as well",
    WATCHES: "watches end early, bookmarks come often, and what is past is soon forgotten",
}
