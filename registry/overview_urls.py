"""Addresses of the pages across certificates, of the change log and of what helps to find them."""

from django.urls import path

from registry import change_views, finding_views, following_views, overview_views

pages = [
    path("matrix/", overview_views.matrix, name="matrix"),
    path("vendors/", overview_views.vendors, name="vendors"),
    path("vendors/<slug:slug>/", overview_views.vendor, name="vendor"),
    path("vendors/<slug:vendor_slug>/<slug:slug>/", overview_views.platform, name="platform"),
    path("requirements/", overview_views.requirements, name="requirements"),
    path("requirements/<slug:requirement_id>/", overview_views.requirement, name="requirement"),
    path("checklists/<str:version>/", overview_views.checklist, name="checklist"),
    path("statistics/", overview_views.statistics, name="statistics"),
    path("changes/", change_views.change_log, name="changes"),
    path("follow/", following_views.follow, name="follow"),
    path("follow/mail/", following_views.follow_by_mail, name="follow-by-mail"),
    path("follow/webhook/", following_views.follow_by_webhook, name="follow-by-webhook"),
    path("follow/confirm/<str:token>/", following_views.confirm, name="follow-confirm"),
    path("follow/stop/<str:token>/", following_views.stop, name="follow-stop"),
    path("follow/manage/<str:token>/", following_views.manage, name="follow-manage"),
]
public = [
    path("changes/feed.atom", change_views.atom, name="changes-atom"),
    path("changes/feed.json", change_views.json_feed, name="changes-json"),
    path("certified/<str:number>/card.png", finding_views.card_of_certificate, name="certificate-card"),
    path("card.png", finding_views.card, name="card"),
    path("sitemap.xml", finding_views.sitemap, name="sitemap"),
    path("sitemap-<str:part>.xml", finding_views.sitemap_part, name="sitemap-part"),
    path("robots.txt", finding_views.robots, name="robots"),
]
