"""Addresses of the public pages: those for people in every language, those that exist once in English."""

from django.urls import include, path

from certportal.languages import in_every_language
from registry import certificate_views, overview_urls, verify_views, views

pages = [
    path("certified/", views.certificate_list, name="list"),
    path("certified/<str:number>/", certificate_views.certificate_detail, name="certificate"),
    path("compare/", views.compare, name="compare"),
    path("verify/", verify_views.verify, name="verify"),
]
public = [
    path(
        "certified/<str:number>/certificate.pdf",
        certificate_views.certificate_document,
        name="certificate-pdf",
    ),
    path("certified/<str:number>/qr.svg", certificate_views.certificate_qr, name="certificate-qr"),
    path(".well-known/jwks.json", certificate_views.key_set, name="key-set"),
    path(".well-known/keys/<str:thumbprint>.json", certificate_views.one_key, name="key"),
    path(".well-known/did.json", certificate_views.did_document, name="did"),
]
urlpatterns = [
    in_every_language([path("", views.home, name="home")]),
    path(
        "",
        include(
            (
                [in_every_language([*pages, *overview_urls.pages]), *public, *overview_urls.public],
                "registry",
            )
        ),
    ),
]
