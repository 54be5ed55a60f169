"""Addresses of the vendor workspace."""

from django.urls import path

from submissions.views import (
    clusters,
    documents,
    files,
    forms,
    invitations,
    keys,
    organizations,
    platforms,
    runs,
    submissions,
    tokens,
)

app_name = "submissions"
urlpatterns = [
    path("", organizations.workspace, name="workspace"),
    path("invitations/<str:secret>/", invitations.invitation, name="invitation"),
    path("verifier-rights/", clusters.rights, name="rights"),
    path("verifier-rights/<str:version>.yaml", clusters.manifest, name="manifest"),
    # Organizations
    path("organizations/new/", organizations.create, name="organization-create"),
    path("organizations/<slug:slug>/", organizations.overview, name="organization"),
    path("organizations/<slug:slug>/members/", organizations.members, name="members"),
    path("organizations/<slug:slug>/members/<int:pk>/", organizations.member, name="member"),
    path("organizations/<slug:slug>/tokens/", tokens.tokens, name="tokens"),
    path("organizations/<slug:slug>/tokens/<int:pk>/revoke/", tokens.revoke, name="token-revoke"),
    path("organizations/<slug:slug>/report-keys/", keys.keys, name="report-keys"),
    path("organizations/<slug:slug>/report-keys/<int:pk>/revoke/", keys.revoke, name="report-key-revoke"),
    path("organizations/<slug:slug>/platforms/", platforms.platforms, name="platforms"),
    path("organizations/<slug:slug>/platforms/new/", platforms.create, name="platform-create"),
    path("organizations/<slug:slug>/platforms/<slug:platform>/", platforms.platform, name="platform"),
    path(
        "organizations/<slug:slug>/platforms/<slug:platform>/configurations/<int:pk>/",
        platforms.configuration,
        name="configuration",
    ),
    path("organizations/<slug:slug>/clusters/", clusters.clusters, name="clusters"),
    path("organizations/<slug:slug>/clusters/new/", clusters.register, name="cluster-register"),
    path("organizations/<slug:slug>/submissions/new/", submissions.create, name="submission-create"),
    path("organizations/<slug:slug>/submissions/upload/", documents.create, name="document-create"),
    # Test clusters
    path("clusters/<uuid:uuid>/", clusters.cluster, name="cluster"),
    path("clusters/<uuid:uuid>/forget/", clusters.forget, name="cluster-forget"),
    # Submissions
    path("submissions/<uuid:uuid>/", submissions.detail, name="detail"),
    path("submissions/<uuid:uuid>/product/", forms.product, name="product"),
    path("submissions/<uuid:uuid>/requirements/<str:category>/", forms.category, name="category"),
    path("submissions/<uuid:uuid>/check/", submissions.check, name="check"),
    path("submissions/<uuid:uuid>/submit/", submissions.submit, name="submit"),
    path("submissions/<uuid:uuid>/withdraw/", submissions.withdraw, name="withdraw"),
    path("submissions/<uuid:uuid>/release/", submissions.release, name="release"),
    path("submissions/<uuid:uuid>/document/", documents.document, name="document"),
    path("submissions/<uuid:uuid>/PRODUCT.yaml", documents.download, name="download"),
    path("submissions/<uuid:uuid>/files/", files.files, name="files"),
    path("submissions/<uuid:uuid>/files/<int:pk>/", files.download, name="file"),
    path("submissions/<uuid:uuid>/files/<int:pk>/remove/", files.remove, name="file-remove"),
    path("submissions/<uuid:uuid>/runs/", runs.runs, name="runs"),
    path("submissions/<uuid:uuid>/runs/report/", runs.upload, name="report-upload"),
    # Verification runs
    path("runs/<uuid:uuid>/", runs.run, name="run"),
    path("runs/<uuid:uuid>/cancel/", runs.cancel, name="run-cancel"),
    path("runs/<uuid:uuid>/report.json", runs.report, name="run-report"),
    path("runs/<uuid:uuid>/evidence/<int:pk>/", runs.evidence, name="run-evidence"),
    path(
        "runs/<uuid:uuid>/evidence/<int:pk>/download/", runs.evidence_download, name="run-evidence-download"
    ),
    path("runs/<uuid:uuid>/scenarios/<int:pk>/", runs.scenario_evidence, name="run-scenario-evidence"),
    path(
        "runs/<uuid:uuid>/scenarios/<int:pk>/download/",
        runs.scenario_evidence_download,
        name="run-scenario-evidence-download",
    ),
]
