from collections.abc import Iterator

import pytest

from tests.sessions import wait_for_sessions_to_end


@pytest.fixture(autouse=True)
def no_session_is_left(transactional_db: None) -> Iterator[None]:
    yield
    wait_for_sessions_to_end()
