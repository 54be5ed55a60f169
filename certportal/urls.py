"""Addresses of the portal."""

from django.contrib import admin
from django.urls import include, path

from certportal import health
from certportal.api.docs import api_docs
from certportal.api.schema import SchemaView
from certportal.languages import in_every_language
from certportal.outbox.views import outbox

urlpatterns = [
    path("", include("registry.urls")),
    path("vendor/", include("submissions.urls")),
    path("admin/", admin.site.urls),
    in_every_language([path("accounts/", include("allauth.urls"))]),
    path("outbox/", outbox, name="outbox"),
    path("api/", api_docs, name="api-docs"),
    path("api/v1/schema/", SchemaView.as_view(), name="api-schema"),
    path("api/v1/", include("registry.api.urls")),
    path("api/v1/", include("submissions.api.urls")),
    path("metrics", health.metrics, name="metrics"),
]

# Under the API, these too are problem documents.
handler400 = "certportal.api.problems.bad_request"
handler404 = "certportal.api.problems.not_found"
handler500 = "certportal.api.problems.server_error"
