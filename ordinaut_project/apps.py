from django.apps import AppConfig


class OrdinautProjectConfig(AppConfig):
    name = "ordinaut_project"
