"""How gunicorn serves the portal: ``gunicorn --config python:certportal.gunicorn certportal.wsgi``."""

worker_class = "certportal.caching_worker.CachingWorker"
workers = 2
threads = 4
# Proxies and CDNs keep their connections; opening one for every request costs more than most answers.
keepalive = 30
timeout = 60
graceful_timeout = 5
