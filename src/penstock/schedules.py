"""When deployments run."""

from __future__ import annotations

from penstock.core.deployments import ScheduleSpec
from penstock.core.schedules import Cron, Interval, Once, RRule
from penstock.core.slots import Policy

__all__ = ["Cron", "Interval", "Once", "Policy", "RRule", "ScheduleSpec"]
