"""The one table of what can be asked for under /api: it routes, describes and serves the forms."""

from __future__ import annotations

from queuectl.web.bulk import BULK
from queuectl.web.changing import CHANGING
from queuectl.web.endpoint import Endpoint
from queuectl.web.reading import READING
from queuectl.web.standing import STANDING

ENDPOINTS: tuple[Endpoint, ...] = (*READING, *CHANGING, *BULK, *STANDING)
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
