import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date
from http.server import ThreadingHTTPServer

import pytest

from ordinaut_project.embedded.weather import _Handler, forecast


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_weather_of_a_city_and_a_day_is_always_the_same():
    day = date(2025, 6, 1)

    assert forecast("Chisinau", day) == forecast("Chisinau", day)
    assert forecast("Chisinau", day) != forecast("Chisinau", date(2025, 6, 2))
    assert forecast("Chisinau", day) != forecast("Paris", day)


def test_july_is_warmer_than_january():
    def mean(month: int) -> float:
        return sum(int(str(forecast("Chisinau", date(2025, month, day))["temp"])) for day in range(1, 29)) / 28

    assert mean(7) > mean(1) + 15


def test_rain_and_words_agree():
    for day in range(1, 29):
        weather = forecast("Chisinau", date(2025, 3, day))

        assert (weather["rain_mm"] == 0) == (weather["summary"] in {"Sunny", "Cloudy"})


def test_the_service_answers_json(address):
    with urllib.request.urlopen(f"{address}/v1/forecast?city=Chisinau&date=2025-06-01") as answer:
        assert json.load(answer) == forecast("Chisinau", date(2025, 6, 1))
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 404), ("/v1/forecast", 400), ("/v1/forecast?city=", 400), ("/v1/forecast?city=A&date=tomorrow", 400)],
)
def test_what_the_service_does_not_know_is_refused(address, path, status):
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(address + path)

    assert refusal.value.code == status
    refusal.value.close()
