"""What the log says of the runs that a slot is done with."""

from typing import Any

import structlog

from workers import conf
from workers.claimed import ClaimedRun
from workers.settlement import Settlement

logger = structlog.get_logger(__name__)

HANDBACKS_WARNED_AT = 5


def tell(settlement: Settlement, run: ClaimedRun) -> None:
    """Say in the log what became of a run; an ordinary success is told only where the setting wants every run."""
    facts: dict[str, Any] = {"attempt": run.attempt, **({"simulated": True} if run.simulated else {})}
    if settlement.error is not None:
        facts |= {"code": settlement.error["code"], "detail": settlement.error["detail"]}
    match settlement.name:
        case "failed":
            logger.warning(
                "run.failed", cause=str(settlement.cause), step=(settlement.error or {}).get("step"), **facts
            )
        case "retried":
            logger.info("run.retried", delay=round(settlement.delay.total_seconds(), 3), **facts)
        case "handed_back" if run.handback_count + 1 >= HANDBACKS_WARNED_AT:
            logger.warning("run.handed_back_again", handbacks=run.handback_count + 1, **facts)
        case name if conf.logs_every_run():
            logger.info("run.settled", outcome=name, **facts)
