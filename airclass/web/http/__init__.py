"""From an ASGI request to a handler: routes, access rules, authentication, problem details."""
