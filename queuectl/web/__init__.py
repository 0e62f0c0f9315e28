"""The dashboard: pages, a JSON API and live events over the use cases of `Queue`.

It needs the extra `web`; nothing else of the package imports it before `queuectl dashboard` runs.
"""
