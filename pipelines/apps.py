from django.apps import AppConfig
from django.core import checks


class PipelinesConfig(AppConfig):
    name = "pipelines"

    def ready(self) -> None:
        from pipelines.checks import check_settings, check_tools
        from scheduling.checks import OURS

        checks.register(check_settings, OURS)
        checks.register(check_tools, OURS)
