"""Settings of the tests: the portal's own, in a data folder that goes when the tests end."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_folder = Path(tempfile.mkdtemp(prefix="certportal-tests-"))
# WhiteNoise warns of a missing folder, and the tests take warnings for errors.
(_folder / "static").mkdir()
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["DATA_DIR"] = str(_folder)
os.environ.setdefault("EMBEDDED", "false")
# One client makes all requests of the tests; those about the limit set their own.
os.environ.setdefault("API_RATE_LIMIT", "0")
os.environ.setdefault("API_TOKEN_LIMIT", "0")
os.environ.setdefault("API_WRITE_LIMIT", "0")
os.environ.setdefault("API_EXPORT_LIMIT", "0")
os.environ.setdefault("FOLLOW_SIGNUPS_PER_HOUR", "0")
# The tests make many users; the portal's own, slow hasher has nothing to protect here.
os.environ.setdefault("LOG_LEVEL", "WARNING")

from certportal.settings import *

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
