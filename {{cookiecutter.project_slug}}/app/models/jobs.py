"""The tables of the jobs; defined beside the machinery that moves them, which knows no models."""

from app.core.jobs.tables import AttemptRow, JobRow, ScheduleRow

__all__ = ["AttemptRow", "JobRow", "ScheduleRow"]
