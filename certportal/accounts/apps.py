from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "certportal.accounts"
    label = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from certportal import checks  # noqa: F401 - importing it registers the system checks
