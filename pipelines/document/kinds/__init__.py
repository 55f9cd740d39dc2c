"""The kinds of steps, by the keyword that tells them.

A kind is one module here and one interpreter in `pipelines.engine.steps`; nothing else knows it.
"""

from pipelines.document.kinds.approval import APPROVAL
from pipelines.document.kinds.assign import SET
from pipelines.document.kinds.attempt import TRY
from pipelines.document.kinds.base import Block, Keys, StepKind, WrittenStep
from pipelines.document.kinds.calling import RUN
from pipelines.document.kinds.ending import FAIL, SUCCEED
from pipelines.document.kinds.listening import WAIT_FOR_EVENT
from pipelines.document.kinds.loops import FOR_EACH, WHILE
from pipelines.document.kinds.parallel import PARALLEL
from pipelines.document.kinds.switch import SWITCH
from pipelines.document.kinds.tool import TOOL
from pipelines.document.kinds.waiting import WAIT

KINDS: dict[str, StepKind] = {
    kind.keyword: kind
    for kind in (
        TOOL, SET, SWITCH, FOR_EACH, WHILE, PARALLEL, WAIT, WAIT_FOR_EVENT, APPROVAL, RUN, TRY, FAIL, SUCCEED
    )
}  # fmt: skip

__all__ = ["KINDS", "Block", "Keys", "StepKind", "WrittenStep"]
