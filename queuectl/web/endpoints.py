"""The one table of what can be asked for under /api: it routes, describes and serves the forms."""

from __future__ import annotations

from queuectl.web.bulk import BULK
from queuectl.web.changing import CHANGING
from queuectl.web.endpoint import Endpoint
from queuectl.web.reading import READING

ENDPOINTS: tuple[Endpoint, ...] = (*READING, *CHANGING, *BULK)
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
