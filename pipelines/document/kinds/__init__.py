"""The kinds of steps, by the keyword that tells them.

A kind is one module here and one interpreter in `pipelines.engine.steps`; nothing else knows it.
"""

from pipelines.document.kinds.approval import APPROVAL
from pipelines.document.kinds.assign import SET
from pipelines.document.kinds.attempt import TRY
from pipelines.document.kinds.base import Block, Keys, StepKind, WrittenStep
from pipelines.document.kinds.ending import FAIL, SUCCEED
from pipelines.document.kinds.loops import FOR_EACH, WHILE
from pipelines.document.kinds.parallel import PARALLEL
from pipelines.document.kinds.switch import SWITCH
from pipelines.document.kinds.tool import TOOL
from pipelines.document.kinds.waiting import WAIT

KINDS: dict[str, StepKind] = {
    kind.keyword: kind for kind in (TOOL, SET, SWITCH, FOR_EACH, WHILE, PARALLEL, WAIT, APPROVAL, TRY, FAIL, SUCCEED)
}

# Part of the language, not of this engine yet: refused by name, so that nobody takes them for a typing error.
PLANNED = ("wait_for_event", "run")

__all__ = ["KINDS", "PLANNED", "Block", "Keys", "StepKind", "WrittenStep"]
