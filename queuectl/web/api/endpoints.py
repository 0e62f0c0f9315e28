"""The one table of what can be asked for under /api: it routes, describes and serves the forms."""

from __future__ import annotations

from queuectl.web.api.bulk import BULK
from queuectl.web.api.change import CHANGING
from queuectl.web.api.endpoint import Endpoint
from queuectl.web.api.named import STANDING
from queuectl.web.api.read import READING

ENDPOINTS: tuple[Endpoint, ...] = (*READING, *CHANGING, *BULK, *STANDING)
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
