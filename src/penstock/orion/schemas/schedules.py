"""When deployments run: schedules by the names that Prefect has for them."""

from __future__ import annotations

from penstock.core.schedules import Cron as CronSchedule
from penstock.core.schedules import Interval as IntervalSchedule
from penstock.core.schedules import RRule as RRuleSchedule

__all__ = ["CronSchedule", "IntervalSchedule", "RRuleSchedule"]
