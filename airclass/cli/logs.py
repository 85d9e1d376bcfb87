"""How log lines look: text for people, JSON for collectors."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; the message keeps its `noun.verb key=value` form."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, kind: str) -> None:
    """Make all log lines of this process look as LOG_LEVEL and LOG_FORMAT say."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    if kind == "json":
        for handler in root.handlers:
            handler.setFormatter(JsonLines())
