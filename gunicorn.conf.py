"""For `gunicorn` in the checkout: the settings of `flask serve`."""

from seidra.gunicorn_settings import *  # noqa: F403 (gunicorn reads this module's names)
