from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """Makes `certportal.admin.PortalAdminSite` the site that every app registers with."""

    default_site = "certportal.admin.PortalAdminSite"
