import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "certportal.settings")

django_application = get_wsgi_application()

from django.conf import settings  # noqa: E402 - needs the settings module named above

from certportal.site_cache import SiteCache  # noqa: E402
from registry.standing import listeners  # noqa: E402

application = SiteCache(django_application, capacity=settings.SITE_CACHE_BYTES)
listeners.append(application.forget)
