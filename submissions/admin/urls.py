"""Addresses of the review pages, below ``/admin/review/`` and in the admin's namespace."""

from django.urls import path

from submissions.admin import lead_views, queue_views, review_views, run_views

urlpatterns = [
    path("", queue_views.queue, name="review_queue"),
    path("runs/<uuid:uuid>/", run_views.run, name="review_run"),
    path("runs/<uuid:uuid>/live/", run_views.live, name="review_run_live"),
    path("runs/<uuid:uuid>/cancel/", run_views.cancel, name="review_run_cancel"),
    path("runs/<uuid:uuid>/report.json", run_views.report, name="review_run_report"),
    path("evidence/<int:pk>/", run_views.evidence, name="review_evidence"),
    path("scenarios/<int:pk>/", run_views.scenario_evidence, name="review_scenario_evidence"),
    path("certificates/<str:number>/<str:action>/", lead_views.change, name="review_certificate"),
    path("interests/<int:pk>/lift/", lead_views.lift_conflict, name="review_lift_conflict"),
    path("<uuid:uuid>/", review_views.review, name="review"),
    path("<uuid:uuid>/start/", review_views.start, name="review_start"),
    path("<uuid:uuid>/decision/", review_views.decide, name="review_decide"),
    path("<uuid:uuid>/waivers/<str:requirement_id>/", review_views.waiver, name="review_waiver"),
    path("<uuid:uuid>/verification/", review_views.verify, name="review_verify"),
    path("<uuid:uuid>/interest/", review_views.declare_conflict, name="review_conflict"),
    path("<uuid:uuid>/files/<int:pk>/", run_views.attached, name="review_file"),
    path("<uuid:uuid>/PRODUCT.yaml", run_views.document, name="review_document"),
]
