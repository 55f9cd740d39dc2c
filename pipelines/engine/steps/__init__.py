"""How each kind of step is carried out, by the type of its body. A new kind is one more module and one more row."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pipelines.document.nodes import (
    ApprovalBody,
    EventBody,
    FailBody,
    ForEachBody,
    ParallelBody,
    RunBody,
    SetBody,
    SucceedBody,
    SwitchBody,
    ToolBody,
    TryBody,
    WaitBody,
    WhileBody,
)
from pipelines.engine.attempts import Attempt
from pipelines.engine.steps.approval import run_approval
from pipelines.engine.steps.assign import run_set
from pipelines.engine.steps.attempt import run_try
from pipelines.engine.steps.calling import run_run
from pipelines.engine.steps.ending import run_fail, run_succeed
from pipelines.engine.steps.listening import run_wait_for_event
from pipelines.engine.steps.loops import run_for_each, run_while
from pipelines.engine.steps.parallel import run_parallel
from pipelines.engine.steps.switch import run_switch
from pipelines.engine.steps.tool import run_tool
from pipelines.engine.steps.waiting import run_wait

Interpreter = Callable[[Any, Attempt], Awaitable[Any]]

INTERPRETERS: Mapping[type, Interpreter] = {
    ToolBody: run_tool,
    SetBody: run_set,
    FailBody: run_fail,
    SucceedBody: run_succeed,
    SwitchBody: run_switch,
    ForEachBody: run_for_each,
    WhileBody: run_while,
    ParallelBody: run_parallel,
    TryBody: run_try,
    WaitBody: run_wait,
    ApprovalBody: run_approval,
    EventBody: run_wait_for_event,
    RunBody: run_run,
}

__all__ = ["INTERPRETERS", "Interpreter"]
