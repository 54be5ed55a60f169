"""Addresses of the public API."""

from django.urls import path

from registry.api import credential_views, export_views, overview_views, views

urlpatterns = [
    path("certifications/", views.CertificationList.as_view(), name="api-certification-list"),
    path(
        "certifications/<str:number>/", views.CertificationDetail.as_view(), name="api-certification-detail"
    ),
    path(
        "certifications/<str:number>/badge.svg",
        credential_views.CertificationBadge.as_view(),
        name="api-certification-badge",
    ),
    path(
        "certifications/<str:number>/credential/",
        credential_views.CertificationCredential.as_view(),
        name="api-certification-credential",
    ),
    path(
        "status-lists/<int:number>/", credential_views.StatusListCredential.as_view(), name="api-status-list"
    ),
    path("certified/", credential_views.CertifiedOnDate.as_view(), name="api-certified"),
    path("checklists/", views.ChecklistList.as_view(), name="api-checklist-list"),
    path("checklists/<str:version>/", views.ChecklistDetail.as_view(), name="api-checklist-detail"),
    path("changes/", overview_views.ChangeList.as_view(), name="api-change-list"),
    path("vendors/", overview_views.VendorList.as_view(), name="api-vendor-list"),
    path(
        "requirements/<slug:requirement_id>/",
        overview_views.RequirementDetail.as_view(),
        name="api-requirement-detail",
    ),
    path("statistics/", overview_views.StatisticsView.as_view(), name="api-statistics"),
    path("exports/", export_views.ExportList.as_view(), name="api-export-root"),
    path("exports/landscape.yml", export_views.LandscapeExport.as_view(), name="api-landscape"),
    path(
        "exports/certifications.<str:form>",
        export_views.CertificationExport.as_view(),
        name="api-export-certifications",
    ),
    path(
        "exports/requirements.<str:form>",
        export_views.RequirementExport.as_view(),
        name="api-export-requirements",
    ),
    path("exports/changes.<str:form>", export_views.ChangeExport.as_view(), name="api-export-changes"),
    path("exports/vendors.<str:form>", export_views.VendorExport.as_view(), name="api-export-vendors"),
    path(
        "exports/checklists.<str:form>",
        export_views.ChecklistExport.as_view(),
        name="api-export-checklists",
    ),
]
