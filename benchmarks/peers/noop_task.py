"""The job of django-tasks-db: tasks have to live in a module of their own."""

try:
    from django.tasks import task
except ImportError:  # Django before 6.0
    from django_tasks import task


@task()
def noop() -> None:
    """Do nothing."""
