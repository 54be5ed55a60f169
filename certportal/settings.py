"""Settings of the portal, read from the environment.

Two columns of one table: with nothing set, the *embedded* default (SQLite, a broker that needs no
server, files in a folder); with ``DATABASE_URL`` and ``REDIS_URL``, PostgreSQL and Redis.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from certportal.env import Env
from certportal.keys import kept_secret, make_folder, parse_field_keys
from certportal.logs import logging_config

env = Env()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "var"))).resolve()

# The embedded portal runs on one machine for one person: demo data, simulated clusters, an outbox.
EMBEDDED = env.flag("EMBEDDED", default=False)
DEBUG = env.flag("DEBUG", default=False)
PORT = env.integer("PORT", 8000, minimum=1)
SITE_URL = env.address("SITE_URL", f"http://127.0.0.1:{PORT}", schemes=("http", "https"))
SITE_NAME = env.text("SITE_NAME", "certportal")

# --- Secrets -----------------------------------------------------------------------------------
DATABASE_URL = env.address("DATABASE_URL", "", schemes=("postgresql", "postgres", "sqlite"))
REDIS_URL = env.address("REDIS_URL", "", schemes=("redis", "rediss", "unix"))
# Two portals on one Redis need two prefixes: otherwise the workers of one take the messages of the other.
REDIS_PREFIX = env.text("REDIS_PREFIX", "certportal")
ON_ONE_MACHINE = not DATABASE_URL.startswith("postgres")

SECRET_KEY = env.text("SECRET_KEY")
_field_keys = env.text("FIELD_KEYS")
if not SECRET_KEY or not _field_keys:
    if not ON_ONE_MACHINE:
        raise ImproperlyConfigured(
            "SECRET_KEY and FIELD_KEYS must be set when the portal runs on PostgreSQL: several processes "
            "on several machines have to share them. `python -m certportal.keys` prints a fresh pair."
        )
    SECRET_KEY = SECRET_KEY or kept_secret(DATA_DIR / "secret-key")
    _field_keys = _field_keys or kept_secret(DATA_DIR / "field-keys", fernet=True)
# Kubeconfigs are encrypted with the first key and read with any: put a new one first to rotate.
FIELD_KEYS = parse_field_keys(_field_keys)

# --- Applications ------------------------------------------------------------------------------
INSTALLED_APPS = [
    "certportal.accounts",
    "certportal.outbox",
    "submissions",
    "registry",
    "certportal.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "allauth",
    "allauth.account",
    "allauth.mfa",
]

MIDDLEWARE = [
    "certportal.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "certportal.logs.RequestLogMiddleware",
    "certportal.api.limits.RateLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "certportal.languages.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "certportal.addresses.AddressMiddleware",
]

ROOT_URLCONF = "certportal.urls"
WSGI_APPLICATION = "certportal.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "certportal.context.portal",
            ],
        },
    },
]

# --- Data --------------------------------------------------------------------------------------
if ON_ONE_MACHINE:
    make_folder(DATA_DIR)
    _sqlite = (
        dj_database_url.parse(DATABASE_URL) if DATABASE_URL else {"NAME": DATA_DIR / "certportal.sqlite3"}
    )
    DATABASES: dict[str, Any] = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": _sqlite["NAME"],
            "OPTIONS": {
                # Writers queue up at the start of a transaction, instead of failing in its middle.
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    }
else:
    DATABASES = {"default": dj_database_url.parse(DATABASE_URL)}
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
        "min_size": 1,
        "max_size": env.integer("DATABASE_POOL_SIZE", 10, minimum=1),
        "timeout": 10,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES: dict[str, Any] = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": REDIS_PREFIX,
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# Public answers that each web process keeps for the seconds they promise; 0 keeps none.
SITE_CACHE_BYTES = env.integer("SITE_CACHE_MEGABYTES", 64) * 1024 * 1024

S3_BUCKET = env.text("S3_BUCKET")
STORAGES: dict[str, Any] = {
    "default": (
        {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "bucket_name": S3_BUCKET,
                "endpoint_url": env.address("S3_ENDPOINT_URL", "", schemes=("http", "https")) or None,
                "access_key": env.text("S3_ACCESS_KEY") or None,
                "secret_key": env.text("S3_SECRET_KEY") or None,
                "default_acl": "private",
                "file_overwrite": False,
            },
        }
        if S3_BUCKET
        else {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(DATA_DIR / "files")},
        }
    ),
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
STATIC_URL = "static/"
STATIC_ROOT = env.text("STATIC_ROOT", str(DATA_DIR / "static"))
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = DEBUG
# A form with sixteen requirements posts many short fields; uploads have their own, smaller limits.
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Verification runs -----------------------------------------------------------------------------
RUN_LEASE = env.duration("RUN_LEASE", timedelta(seconds=15 if EMBEDDED else 60))
RUN_BUDGET = env.duration("RUN_BUDGET", timedelta(hours=2))
RUN_ATTEMPTS = env.integer("RUN_ATTEMPTS", 5, minimum=1)
PROBE_IMAGE_PREFIX = env.text("PROBE_IMAGE_PREFIX")
# Private address ranges are refused unless the operator runs the portal beside the vendors' clusters.
CLUSTER_ALLOW_PRIVATE = env.flag("CLUSTER_ALLOW_PRIVATE", default=False)
# The embedded portal may reach its own simulated clusters, named here as files it wrote itself.
SIMULATED_CLUSTERS_DIR = DATA_DIR / "clusters" if EMBEDDED else None

# --- Celery ------------------------------------------------------------------------------------
_broker_folder = DATA_DIR / "broker"
CELERY_BROKER_URL = REDIS_URL or "filesystem://"
if REDIS_URL:
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"global_keyprefix": f"{REDIS_PREFIX}:"}
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_broker_folder / "queue"),
        "data_folder_out": str(_broker_folder / "queue"),
        "control_folder": str(_broker_folder / "control"),
        "polling_interval": 0.3,
    }
# The database is the truth: no result is kept by Celery, and a lost message is found by the reconciler.
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = bool(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "portal"
CELERY_TASK_ROUTES = {"submissions.tasks.verify_run_task": {"queue": "verification"}}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "reconcile-runs": {
        "task": "submissions.tasks.reconcile_runs_task",
        "schedule": min(RUN_LEASE, timedelta(seconds=60)),
    },
    "expire-certificates": {
        "task": "registry.tasks.expire_certificates_task",
        "schedule": crontab(minute="5"),
    },
    "revoke-uncured": {
        "task": "registry.tasks.revoke_uncured_task",
        "schedule": crontab(minute="6"),
    },
    "reconcile-following": {
        "task": "registry.following_tasks.reconcile_following_task",
        "schedule": crontab(minute="*/5"),
    },
    "send-cure-mails": {
        "task": "submissions.tasks.send_cure_mails_task",
        "schedule": crontab(minute="10"),
    },
    "publish-released": {
        "task": "submissions.tasks.publish_released_task",
        "schedule": crontab(minute="*/10"),
    },
    "sweep-clusters": {
        "task": "submissions.tasks.sweep_clusters_task",
        "schedule": crontab(minute="20"),
    },
    "delete-old-kubeconfigs": {
        "task": "submissions.tasks.delete_old_kubeconfigs_task",
        "schedule": crontab(minute="35", hour="3"),
    },
}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")

# --- The programme's rules -----------------------------------------------------------------------
APPROVALS_NEEDED = env.integer("APPROVALS_NEEDED", 2, minimum=1)
REVIEW_BUSINESS_DAYS = env.integer("REVIEW_BUSINESS_DAYS", 10, minimum=1)
REVIEWERS_NEED_MFA = env.flag("REVIEWERS_NEED_MFA", default=not EMBEDDED)
VERIFICATION_REQUIRED = env.flag("VERIFICATION_REQUIRED", default=True)
# Kubeconfigs are deleted this long after the decision.
KUBECONFIG_RETENTION = env.duration("KUBECONFIG_RETENTION", timedelta(days=30))

# --- Following -------------------------------------------------------------------------------------
# Sign-ups that one client may make in an hour; 0: as many as it likes.
FOLLOW_SIGNUPS_PER_HOUR = env.integer("FOLLOW_SIGNUPS_PER_HOUR", 20)
# How long a webhook's receiver may take, from the connection to the last byte of its answer.
FOLLOW_WEBHOOK_SECONDS = env.integer("FOLLOW_WEBHOOK_SECONDS", 10, minimum=1)
# What was told, and receivers that were switched off, are forgotten after this time.
FOLLOW_LOG_RETENTION = env.duration("FOLLOW_LOG_RETENTION", timedelta(days=30))

# --- Accounts ------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
# The address is unique by a constraint on its lower-case form, which the check does not recognise.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_SIGNUP_FORM_CLASS = "certportal.accounts.forms.SignupForm"
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
ACCOUNT_DEFAULT_HTTP_PROTOCOL = SITE_URL.split("://", 1)[0]
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_ADAPTER = "certportal.accounts.adapter.AccountAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = SITE_NAME
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = EMBEDDED

# --- Mail ------------------------------------------------------------------------------------------
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", f"{SITE_NAME} <noreply@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
if EMBEDDED:
    EMAIL_BACKEND = "certportal.outbox.backend.OutboxBackend"
else:
    EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
    EMAIL_PORT = env.integer("EMAIL_PORT", 25, minimum=1)
    EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
    EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
    EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", default=False)
    EMAIL_TIMEOUT = 20

# --- Security --------------------------------------------------------------------------------------
ALLOWED_HOSTS = list(
    env.words(
        "ALLOWED_HOSTS",
        ("127.0.0.1", "localhost", "[::1]") if ON_ONE_MACHINE else (urlsplit(SITE_URL).hostname or "",),
    )
)
CSRF_TRUSTED_ORIGINS = [SITE_URL]
_https = SITE_URL.startswith("https://")
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=_https)
# A proxy that takes the clients' connections: what it says of them is believed, what they say is not.
BEHIND_PROXY = env.flag("BEHIND_PROXY", default=_https)
# How many proxies a request passes, one after the other; the outermost one's word counts for the client.
PROXIES = env.integer("PROXIES", 1, minimum=1)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_HSTS_SECONDS = 31536000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
SESSION_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_SECURE = _https
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}

# What a metrics scraper has to show; empty: there is no metrics page.
METRICS_TOKEN = env.text("METRICS_TOKEN")

# --- Language and time -------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
# Each in its own name, as readers who look for it know it.
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文"), ("ja", "日本語")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- API -----------------------------------------------------------------------------------------------
# Requests that one client may make in a window of so many seconds; 0: as many as it likes.
API_RATE_WINDOW = env.integer("API_RATE_WINDOW", 60, minimum=1)
API_RATE_LIMIT = env.integer("API_RATE_LIMIT", 60_000 if EMBEDDED else 600)
API_TOKEN_LIMIT = env.integer("API_TOKEN_LIMIT", 60_000 if EMBEDDED else 1200)
API_WRITE_LIMIT = env.integer("API_WRITE_LIMIT", 60_000 if EMBEDDED else 120)
API_EXPORT_LIMIT = env.integer("API_EXPORT_LIMIT", 60_000 if EMBEDDED else 30)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "submissions.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["certportal.api.parsers.JSONParser"],
    # The answer's form is chosen by the address and by Accept; `format` belongs to the views that know it.
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_PAGINATION_CLASS": "certportal.api.pagination.PagePagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "certportal.api.problems.problem_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "certportal API",
    "DESCRIPTION": "Query certified Kubernetes AI platforms; submit and verify your own with a token.",
    "VERSION": "1",
    "OAS_VERSION": "3.0.3",
    "SERVE_INCLUDE_SCHEMA": False,
    # The document is public and reads no credentials.
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "certportal.api.schema.describe_everywhere",
        "certportal.api.limits.describe_limits",
    ],
    # Four vocabularies that are all called status somewhere.
    "ENUM_NAME_OVERRIDES": {
        "CertificateStatusEnum": "registry.models.Certificate.Status",
        "ChangeKindEnum": "registry.models.CertificateEvent.Kind",
        "SubmissionStatusEnum": "submissions.states.Status",
        "RunStatusEnum": "submissions.states.RunStatus",
        "RunKindEnum": "submissions.states.RunKind",
        "VerdictEnum": "submissions.states.Verdict",
    },
}

# --- Logs ------------------------------------------------------------------------------------------------
LOGGING = logging_config(
    level=env.text("LOG_LEVEL", "INFO"), as_json=env.flag("LOG_JSON", default=not EMBEDDED)
)
