"""SEIDRA's commands, which are plugins of Flask's own command.

Before Flask loads them it puts what stands in the `.env` of the folder it was started in, or of one
above, into the environment, where it would win over the file that server and scripts read. Taken
out again, so that every command means the same instance (`seidra.config.settings_file`).
"""

from __future__ import annotations

import os

from dotenv import dotenv_values, find_dotenv
from flask.helpers import get_load_dotenv

from seidra.config import PREFIX


def _forget_dotenv() -> None:
    file = find_dotenv(usecwd=True)
    if file and get_load_dotenv():
        for name, value in dotenv_values(file).items():
            if name.startswith(PREFIX) and value is not None and os.environ.get(name) == value:
                del os.environ[name]


_forget_dotenv()
