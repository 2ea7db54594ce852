"""A simulated Nexudus: documented routes, tokens, throttle, latency and faults on demand.

The gateway never imports it. `bff.sandbox.app:create_app_from_env` is an ASGI factory; serve it
with one worker, since members, tokens and counters live in the process.
"""
