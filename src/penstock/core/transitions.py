"""Which state may follow which. The lifecycle page of the docs is generated from this table."""

from __future__ import annotations

from penstock.core.states import FINAL, StateType

S = StateType

FOLLOWS: dict[StateType | None, frozenset[StateType]] = {
    None: frozenset({S.SCHEDULED, S.PENDING, S.RUNNING, S.FAILED, S.COMPLETED}),
    S.SCHEDULED: frozenset({S.PENDING, S.RUNNING, S.PAUSED, S.CANCELLING, *FINAL}),
    S.PENDING: frozenset({S.SCHEDULED, S.RUNNING, S.PAUSED, S.CANCELLING, *FINAL}),
    S.RUNNING: frozenset({S.SCHEDULED, S.RUNNING, S.PAUSED, S.CANCELLING, *FINAL}),
    S.PAUSED: frozenset({S.SCHEDULED, S.PENDING, S.RUNNING, S.CANCELLING, *FINAL}),
    S.CANCELLING: frozenset(FINAL),
    # A final state is left only by a recorded action of a user: resume, rerun, set state.
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.CRASHED: frozenset(),
    S.CANCELLED: frozenset(),
}

REOPENS: dict[StateType, frozenset[StateType]] = {
    # What a new attempt (resume, rerun) may do to a run that had ended.
    state: frozenset({S.SCHEDULED, S.PENDING, S.RUNNING})
    for state in FINAL
}


def may_follow(before: StateType | None, after: StateType, *, new_attempt: bool = False) -> bool:
    """Whether a run in state ``before`` may go to ``after``; a new attempt may reopen a final one."""
    if after in FOLLOWS[before]:
        return True
    return new_attempt and before is not None and after in REOPENS.get(before, ())
