"""Django settings, read from the environment through `ordinaut_project.env`.

Importing this module never fails for a missing key or database: commands without a database (`previewschedule`,
`evaluate`, `simulate`, `makemigrations --check`) need neither. What a service cannot do without is verified by
system checks with ids, which a service runs before it starts.
"""

import zoneinfo
from pathlib import Path

from ordinaut_project import env
from ordinaut_project.logging import logging_settings

BASE_DIR = Path(__file__).resolve().parent.parent

# `manage.py up` leaves its addresses and keys here, so that commands in a second terminal find the same servers.
STATE_DIR = Path(env.text("ORDINAUT_STATE_DIR", str(BASE_DIR / ".ordinaut")))
if not env.text("DATABASE_URL"):
    env.load_file(STATE_DIR / "env")

# The locked tzdata wheel is the one source of zone rules on every host; a system's own may be older.
zoneinfo.reset_tzpath(to=[])

ORDINAUT_ENV = env.text("ORDINAUT_ENV", "production")
DEBUG = False
SECRET_KEY = env.text("ORDINAUT_SECRET_KEY")
ALLOWED_HOSTS = env.words("ORDINAUT_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("ORDINAUT_CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "ordinaut_project.console.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_prometheus",
    "django_apscheduler",
    "django_filters",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "scheduling",
    "pipelines",
    "workers",
    "ordinaut_project",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "ordinaut_project.middleware.RequestContextMiddleware",
    "ordinaut_project.problems.DatabaseOutageMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "ordinaut_project.console.csp.OrdinautCSPMiddleware",
    "ordinaut_project.console.nul.NoNulMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "ordinaut_project.urls"
LOGIN_REDIRECT_URL = "admin:index"
LOGIN_URL = "admin:login"
WSGI_APPLICATION = "ordinaut_project.wsgi.application"
ASGI_APPLICATION = "ordinaut_project.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Data

DATABASES = {"default": env.database("DATABASE_URL", env.text("DATABASE_URL"))}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
if pool_size := env.integer("ORDINAUT_DATABASE_POOL", 0, minimum=0):
    # The web process only: clock, workers and LISTEN hold connections of their own.
    DATABASES["default"]["OPTIONS"] = {
        **dict(DATABASES["default"].get("OPTIONS", {})),  # type: ignore[call-overload]
        "pool": {"min_size": 1, "max_size": pool_size, "timeout": 5},
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "scheduling.Operator"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# Time and language: instants are kept in UTC; a schedule carries its own zone.

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# Files

STATIC_URL = "/static/"
# Made by `make image-static`. Where it is missing, files are served from where the packages keep them.
_STATIC_BUILD = BASE_DIR / "static-build"
STATIC_ROOT = _STATIC_BUILD if _STATIC_BUILD.exists() else None
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if STATIC_ROOT is not None
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
    },
}

# Security

_HTTPS = env.boolean("ORDINAUT_HTTPS", ORDINAUT_ENV == "production")
SECURE_SSL_REDIRECT = _HTTPS and env.boolean("ORDINAUT_SSL_REDIRECT", False)
SECURE_HSTS_SECONDS = env.integer("ORDINAUT_HSTS_SECONDS", 31_536_000 if _HTTPS else 0, minimum=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS
SECURE_HSTS_PRELOAD = _HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.boolean("ORDINAUT_BEHIND_PROXY") else None
SESSION_COOKIE_SECURE = _HTTPS
CSRF_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# Our own host and nothing else; `ordinaut_project.console.csp` adds the one exception of the console.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# The API

CSRF_FAILURE_VIEW = "ordinaut_project.problems.csrf_failure"
REST_FRAMEWORK = {
    # Views take theirs from `scheduling.api.views.View`; these stand for any that does not.
    "DEFAULT_AUTHENTICATION_CLASSES": ["scheduling.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["scheduling.api.access.ScopePermission"],
    "DEFAULT_RENDERER_CLASSES": ["scheduling.api.bodies.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["scheduling.api.bodies.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "scheduling.api.schema.OperationSchema",
    "EXCEPTION_HANDLER": "scheduling.api.problems.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ordinaut",
    "VERSION": "1",
    "DESCRIPTION": "A durable scheduler and pipeline engine for AI agents and the people who operate them.",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False},
    "ENUM_NAME_OVERRIDES": {
        "TaskState": "scheduling.tasks.models.TaskState",
        "ScheduleState": "scheduling.schedules.models.ScheduleState",
        "RunState": "scheduling.runs.states.RunState",
        "OverlapPolicy": "scheduling.tasks.models.OverlapPolicy.values",
        "BackfillOverlap": "scheduling.backfills.models.BackfillOverlap.values",
    },
}

# The console

UNFOLD = {
    "SITE_TITLE": "Ordinaut",
    "SITE_HEADER": "Ordinaut",
    "SITE_SUBHEADER": "Operator console",
    "SITE_SYMBOL": "schedule",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "ordinaut_project.console.site.icon"}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "ordinaut_project.console.site.environment_badge",
    "STYLES": [
        "ordinaut_project.console.site.theme_style",
        "ordinaut_project.console.site.console_style",
    ],
    "SCRIPTS": ["ordinaut_project.console.site.console_script"],
    "SIDEBAR": {"show_search": False, "navigation": "ordinaut_project.console.navigation.groups"},
}

# Mail: a folder in development, SMTP where a host is named.

EMAIL_HOST = env.text("ORDINAUT_SMTP_HOST", "localhost")
EMAIL_PORT = env.integer("ORDINAUT_SMTP_PORT", 25, minimum=1)
EMAIL_HOST_USER = env.text("ORDINAUT_SMTP_USER")
EMAIL_HOST_PASSWORD = env.text("ORDINAUT_SMTP_PASSWORD")
EMAIL_USE_TLS = env.boolean("ORDINAUT_SMTP_TLS")
EMAIL_TIMEOUT = 30
DEFAULT_FROM_EMAIL = env.text("ORDINAUT_MAIL_FROM", "ordinaut@localhost")
EMAIL_FILE_PATH = env.text("ORDINAUT_MAIL_DIR")
EMAIL_BACKEND = (
    "django.core.mail.backends.filebased.EmailBackend"
    if EMAIL_FILE_PATH
    else "django.core.mail.backends.smtp.EmailBackend"
)

# Ordinaut's own; each app reads its own through its `conf.py`.

ORDINAUT_DATABASE_DIRECT_URL = env.text("DATABASE_DIRECT_URL", env.text("DATABASE_URL"))
ORDINAUT_MAX_EVENT_DEPTH = env.integer("ORDINAUT_MAX_EVENT_DEPTH", 16, minimum=1)
ORDINAUT_REDIS_URL = env.text("REDIS_URL")
ORDINAUT_PIPELINE_PORT = "pipelines.port.PipelinePort"
ORDINAUT_HTTP_ALLOW = env.words("ORDINAUT_HTTP_ALLOW")
ORDINAUT_CALENDAR_DIR = env.text("ORDINAUT_CALENDAR_DIR")
ORDINAUT_LLM_URL = env.text("ORDINAUT_LLM_URL")
ORDINAUT_LLM_KEY = env.text("ORDINAUT_LLM_KEY")
ORDINAUT_LLM_MODEL = env.text("ORDINAUT_LLM_MODEL")
ORDINAUT_ENCRYPTION_KEYS = env.words("ORDINAUT_ENCRYPTION_KEYS")
ORDINAUT_WEBHOOK_SECRETS = env.words("ORDINAUT_WEBHOOK_SECRETS")
ORDINAUT_MCP_COMMANDS = env.words("ORDINAUT_MCP_COMMANDS")
ORDINAUT_MCP_TOKENS = env.words("ORDINAUT_MCP_TOKENS")
ORDINAUT_SIMULATED_TOOLS = env.text("ORDINAUT_SIMULATED_TOOLS")
ORDINAUT_ISOLATED_PROCESSES = env.integer("ORDINAUT_ISOLATED_PROCESSES", 0, minimum=0)
ORDINAUT_ISOLATED_MEMORY_MB = env.integer("ORDINAUT_ISOLATED_MEMORY_MB", 4096, minimum=0)
ORDINAUT_TOOL_ENVIRONMENT = env.words("ORDINAUT_TOOL_ENVIRONMENT")
ORDINAUT_BEAT_INTERVAL = env.seconds("ORDINAUT_BEAT_INTERVAL", 1)
ORDINAUT_ABORT_AFTER = env.seconds("ORDINAUT_ABORT_AFTER", 10)
ORDINAUT_REAP_AFTER = env.seconds("ORDINAUT_REAP_AFTER", 15)
ORDINAUT_GRACE = env.seconds("ORDINAUT_GRACE", 8)
ORDINAUT_WORN_GRACE = env.seconds("ORDINAUT_WORN_GRACE", 3600)
ORDINAUT_QUARANTINE_AFTER = env.integer("ORDINAUT_QUARANTINE_AFTER", 3, minimum=1)
ORDINAUT_COMPILED_PIPELINES = env.integer("ORDINAUT_COMPILED_PIPELINES", 500, minimum=1)
ORDINAUT_PREPARE_STATEMENTS = env.boolean("ORDINAUT_PREPARE_STATEMENTS", True)
ORDINAUT_LOG_EVERY_RUN = env.boolean("ORDINAUT_LOG_EVERY_RUN", False)
ORDINAUT_KEEP_SUCCEEDED = env.days("ORDINAUT_KEEP_SUCCEEDED", 30)
ORDINAUT_KEEP_FAILED = env.days("ORDINAUT_KEEP_FAILED", 90)
ORDINAUT_KEEP_CANCELED = env.days("ORDINAUT_KEEP_CANCELED", 30)
ORDINAUT_KEEP_SKIPPED = env.days("ORDINAUT_KEEP_SKIPPED", 30)
ORDINAUT_KEEP_EVENTS = env.days("ORDINAUT_KEEP_EVENTS", 30)
ORDINAUT_KEEP_MISSES = env.days("ORDINAUT_KEEP_MISSES", 90)
ORDINAUT_KEEP_WORKERS = env.days("ORDINAUT_KEEP_WORKERS", 7)
ORDINAUT_KEEP_EXECUTIONS = env.days("ORDINAUT_KEEP_EXECUTIONS", 7)
ORDINAUT_RETENTION_BATCH = env.integer("ORDINAUT_RETENTION_BATCH", 1000, minimum=1)
ORDINAUT_RETENTION_BUDGET = env.seconds("ORDINAUT_RETENTION_BUDGET", 10)
ORDINAUT_DEAD_TUPLES_WARNING = env.integer("ORDINAUT_DEAD_TUPLES_WARNING", 100_000, minimum=1)
ORDINAUT_WORKER_MAX_RUNS = env.integer("ORDINAUT_WORKER_MAX_RUNS", 0, minimum=0)
ORDINAUT_WORKER_MAX_MEMORY = env.integer("ORDINAUT_WORKER_MAX_MEMORY", 0, minimum=0)
ORDINAUT_ISOLATED_MAX_CALLS = env.integer("ORDINAUT_ISOLATED_MAX_CALLS", 0, minimum=0)
ORDINAUT_ISOLATED_MAX_MEMORY = env.integer("ORDINAUT_ISOLATED_MAX_MEMORY", 0, minimum=0)
ORDINAUT_CLOCK_STATEMENT_TIMEOUT = env.seconds("ORDINAUT_CLOCK_STATEMENT_TIMEOUT", 5)
ORDINAUT_CLOCK_LOCK_TIMEOUT = env.seconds("ORDINAUT_CLOCK_LOCK_TIMEOUT", 2)
ORDINAUT_CLOCK_IDLE_TIMEOUT = env.seconds("ORDINAUT_CLOCK_IDLE_TIMEOUT", 15)
ORDINAUT_CLOCK_PASS_BUDGET = env.seconds("ORDINAUT_CLOCK_PASS_BUDGET", 10)
ORDINAUT_TEST_CLOCK_POINT = env.text("ORDINAUT_TEST_CLOCK_POINT")
ORDINAUT_TEST_WORKER_POINT = env.text("ORDINAUT_TEST_WORKER_POINT")
ORDINAUT_METRICS_TOKEN = env.text("ORDINAUT_METRICS_TOKEN")

LOGGING_CONFIG = None
LOGGING = logging_settings(level=env.text("ORDINAUT_LOG_LEVEL", "INFO"), form=env.text("ORDINAUT_LOG_FORMAT", "json"))
