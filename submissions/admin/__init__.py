"""The accreditation group's pages in the admin site: queue, review, registers."""

from submissions.admin import people, records, vendors

__all__ = ["people", "records", "vendors"]
