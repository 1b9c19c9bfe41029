"""Surveys on their way: looks at the data that travel as bundles of their own, outside the ledger.

The ledger counts mini-batches, and how many there are is what surveys find out.
"""

from __future__ import annotations

import base64
import json
import pickle
from collections import deque
from typing import TYPE_CHECKING, Any

from daskrun.core.events import BundleLost, BundleReturned
from daskrun.core.orders import Bundle
from daskrun.core.outcome import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from daskrun.core.minibatch import Plan, Survey

EACH_SLOT = 2
"""Surveys a slot owes at a time: one in hand, one to go on with."""
RECALLED = 64
"""Surveys begun at a time to see whether an earlier driver had them made."""


class Surveys:
    """Has the surveys of a plan made by whatever runs mini-batches.

    A bundle of a survey has a negative number, which no bundle of the ledger has.

    Parameters
    ----------
    plan
        The run's.
    tries
        How often one is tried before the plan has to do without it.
    note
        Puts a record in the journal.
    """

    def __init__(self, plan: Plan, tries: int, note: Callable[[dict[str, Any]], None]) -> None:
        self._plan = plan
        self._tries = tries
        self._note = note
        self._out: dict[int, tuple[Survey, int, str]] = {}
        """By bundle number: the survey, which try, the node."""
        self._again: deque[tuple[Survey, int]] = deque()
        self._made = 0
        self._past: dict[str, dict[str, Any]] = {}
        self._troubles: dict[int, str] = {}
        """By survey: why an earlier driver has not had it made."""

    def remember(self, past: Mapping[str, dict[str, Any]]) -> None:
        """Take the records that earlier drivers of the run have journalled, by their keys."""
        self._past = dict(past)

    def recall(self) -> bool:
        """Have the plan learn what earlier drivers found out; True when it knows more now."""
        surveyor = self._plan.surveyor
        if not self._past or surveyor is None or len(self._again) >= RECALLED:
            return False
        learned = False
        for survey in surveyor.begin(RECALLED):
            entry = self._past.pop(json.dumps(survey.key), {})
            if "found" in entry:
                surveyor.learn(survey.number, from_text(entry["found"]))
                learned = True
            else:
                self._again.append((survey, 1))
                self._troubles[survey.number] = entry.get("trouble", "")
        return learned

    def recall_trouble(self) -> bool:
        """Have the plan do without the next survey that an earlier driver did without.

        Only where mini-batches that have ended are behind it: else it is made again, since what
        was in its way may be gone.
        """
        surveyor = self._plan.surveyor
        if surveyor is None:
            return False
        for each in self._again:
            if trouble := self._troubles.pop(each[0].number, ""):
                self._again.remove(each)
                surveyor.give_up(each[0].number, trouble)
                return True
        return False

    def hand_out(self, slots: Mapping[str, int]) -> list[tuple[Bundle, bytes]]:
        """Return every slot that has room a survey, while the plan has any to be made."""
        surveyor = self._plan.surveyor
        if surveyor is None or self._plan.complete:
            return []
        owed = dict.fromkeys(slots, 0)
        for _, _, node in self._out.values():
            if node in owed:
                owed[node] += 1
        room = {node: EACH_SLOT * count - owed[node] for node, count in slots.items()}
        room = {node: free for node, free in room.items() if free > 0}
        total = sum(room.values())
        due = [self._again.popleft() for _ in range(min(total, len(self._again)))]
        if not self._past:
            due += [(survey, 1) for survey in surveyor.begin(total - len(due))]
        bundles = []
        for survey, attempt in due:
            node = max(room, key=lambda name: room[name])
            room[node] -= 1
            self._made += 1
            number = -self._made
            self._out[number] = survey, attempt, node
            payload = pickle.dumps([(survey.descriptor, attempt)], 5)
            bundles.append((Bundle(number, node, ((survey.number, attempt),)), payload))
        return bundles

    def returned(self, event: BundleReturned | BundleLost) -> bool:
        """Take a survey back; True when the plan may know more now.

        Raises
        ------
        DatasetError
            It can't be made, and the plan can't go on without.
        """
        survey, attempt, _ = self._out.pop(event.number, (None, 0, ""))
        surveyor = self._plan.surveyor
        if survey is None or surveyor is None:
            return False
        outcomes = event.outcomes if isinstance(event, BundleReturned) else ()
        if not outcomes:  # not started, or its node is gone
            self._again.append((survey, attempt))
            return False
        told = outcomes[0].error
        if isinstance(told, Found):
            self._note({"kind": "survey", "key": survey.key, "found": as_text(told.value)})
            surveyor.learn(survey.number, told.value)
            return True
        if attempt < self._tries:
            self._again.append((survey, attempt + 1))
            return False
        trouble = told.message if told is not None else "it can't be read"
        self._note({"kind": "survey", "key": survey.key, "trouble": trouble})
        surveyor.give_up(survey.number, trouble)
        return True


def as_text(found: Any) -> str:
    """Write what a survey found, builtins, as text that JSON can hold."""
    return base64.b64encode(pickle.dumps(found, 5)).decode("ascii")


def from_text(text: str) -> Any:
    """Read what :func:`as_text` has written."""
    return pickle.loads(base64.b64decode(text))
