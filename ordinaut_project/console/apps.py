from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    default_site = "ordinaut_project.console.site.ConsoleSite"
