# One image for web, worker and beat; the command decides which. Nothing is compiled: every dependency
# comes as a wheel, checked against its hash.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data STATIC_ROOT=/app/collected
WORKDIR /app

COPY requirements/production.txt requirements/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/production.txt

COPY manage.py pyproject.toml ./
COPY conformance conformance
COPY certportal certportal
COPY registry registry
COPY submissions submissions
COPY static static
COPY templates templates
COPY locale locale

# Collecting needs no database and no secret of the installation; the keys made here stay in the layer's /tmp.
RUN DATA_DIR=/tmp/build python manage.py collectstatic --no-input --verbosity 0 && rm -rf /tmp/build \
    && useradd --system --uid 10001 --no-create-home certportal \
    && mkdir /data && chown certportal /data

USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["gunicorn", "certportal.wsgi", "--bind", "0.0.0.0:8000", "--workers", "3", "--threads", "4", "--access-logfile", "-"]
