"""The REST API as `manage.py up` uses it: to see that it is ready, and to run the first task for real."""

import json
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from ordinaut_project.embedded.binaries import EmbeddedError

# Never through a proxy: the address is this machine's own.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TIMEOUT = 10.0


class Gateway:
    """The web process at `base_url`, spoken to as the agent that holds `token`."""

    def __init__(self, base_url: str, *, token: str) -> None:
        self._base_url = base_url
        self._token = token

    def is_ready(self) -> bool:
        """True when `/readyz` answers 200; False while nothing listens or it says no."""
        try:
            with _opener.open(f"{self._base_url}/readyz", timeout=_TIMEOUT) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def run_task(self, task_id: str) -> str:
        """Start a run of the task now; returns the run's id. Raises EmbeddedError."""
        return str(self._call("POST", f"/api/v1/tasks/{task_id}/run", {})["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """The run as the API shows it. Raises EmbeddedError."""
        return self._call("GET", f"/api/v1/runs/{run_id}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - http, to this machine
            self._base_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with _opener.open(request, timeout=_TIMEOUT) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise EmbeddedError(f"{method} {path} answered {error.code}: {error.read(500)!r}") from error
        except (OSError, ValueError) as error:
            raise EmbeddedError(f"{method} {path} failed: {error}") from error
        if not isinstance(document, dict):
            raise EmbeddedError(f"{method} {path} answered no object")
        return document
