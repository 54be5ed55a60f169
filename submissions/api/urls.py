"""Addresses of the API for vendors' programs."""

from django.urls import path

from submissions.api import schema, views

urlpatterns = [
    path("submissions/", views.SubmissionList.as_view(), name="api-submission-list"),
    path("submissions/<uuid:uuid>/", views.SubmissionDetail.as_view(), name="api-submission-detail"),
    path("submissions/<uuid:uuid>/submit/", views.SubmissionSubmit.as_view(), name="api-submission-submit"),
    path(
        "submissions/<uuid:uuid>/withdraw/",
        views.SubmissionWithdraw.as_view(),
        name="api-submission-withdraw",
    ),
    path("submissions/<uuid:uuid>/files/", views.SubmissionFiles.as_view(), name="api-submission-files"),
    path(
        "submissions/<uuid:uuid>/verifications/",
        views.SubmissionVerifications.as_view(),
        name="api-submission-verifications",
    ),
    path(
        "submissions/<uuid:uuid>/reports/",
        views.SubmissionReports.as_view(),
        name="api-submission-reports",
    ),
    path("verifications/<uuid:uuid>/", views.Verification.as_view(), name="api-verification"),
    path(
        "verifications/<uuid:uuid>/cancel/",
        views.VerificationCancel.as_view(),
        name="api-verification-cancel",
    ),
]

__all__ = ["schema", "urlpatterns"]
