from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SchedulingConfig(AppConfig):
    name = "scheduling"

    def ready(self) -> None:
        from scheduling import checks, housekeeping
        from scheduling.agents.roles import make_roles

        checks.register()
        housekeeping.jobs_of("scheduling.clock.jobs")
        post_migrate.connect(make_roles, dispatch_uid="scheduling.make_roles")
