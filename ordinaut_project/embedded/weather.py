"""A small weather service for the first five minutes: `python -m ordinaut_project.embedded.weather PORT`.

`GET /v1/forecast?city=Chisinau&date=2025-06-01` answers the weather of that city and day. It is invented, but always
the same for the same city and day, so that a run can be repeated and compared. Without a date it is today's (UTC).
"""

import hashlib
import json
import sys
from datetime import UTC, date, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HOST = "127.0.0.1"
PATH = "/v1/forecast"
_LONGEST_CITY = 100


def forecast(city: str, day: date) -> dict[str, object]:
    """The weather of a city on a day: warm in July, cold in January, the rest from a hash of both."""
    digest = hashlib.sha256(f"{city.casefold()}|{day.isoformat()}".encode()).digest()
    season = 1 - abs(day.timetuple().tm_yday - 197) / 183
    rain = max(0, digest[1] - 160) / 10
    temperature = round(-4 + 28 * season + (digest[0] % 9) - 4)
    return {
        "city": city,
        "date": day.isoformat(),
        "summary": _summary(rain, cloud=digest[2]),
        "temp": temperature,
        "rain_mm": rain,
        "wind_kmh": digest[3] % 40,
    }


def _summary(rain: float, *, cloud: int) -> str:
    if rain > 4:
        return "Rainy"
    if rain > 0:
        return "Showers"
    return "Cloudy" if cloud > 150 else "Sunny"


class _Handler(BaseHTTPRequestHandler):
    server_version = "OrdinautWeather/1"

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        if address.path != PATH:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"only {PATH} is served"})
            return
        city = query.get("city", [""])[0].strip()
        if not 0 < len(city) <= _LONGEST_CITY:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "city is missing or too long"})
            return
        try:
            day = date.fromisoformat(query["date"][0]) if "date" in query else datetime.now(UTC).date()
        except ValueError:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "date must be written YYYY-MM-DD"})
            return
        self._answer(HTTPStatus.OK, forecast(city, day))

    def _answer(self, status: HTTPStatus, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main(port: int) -> None:
    """Serve until a signal ends the process."""
    with ThreadingHTTPServer((HOST, port), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
