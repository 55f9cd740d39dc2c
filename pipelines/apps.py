from django.apps import AppConfig
from django.core import checks


class PipelinesConfig(AppConfig):
    name = "pipelines"

    def ready(self) -> None:
        from pipelines.checks import check_settings, check_tools

        checks.register(check_settings)
        checks.register(check_tools)
