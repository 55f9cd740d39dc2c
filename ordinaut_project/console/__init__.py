"""The operator console: Django admin, themed by django-unfold, with a dashboard of its own.

What one app's objects look like stands in that app's `admin.py`; what joins runs with steps, in `workers/admin.py`.
Here stands what frames them: the site, its navigation, its content security policy and the dashboard.
"""
