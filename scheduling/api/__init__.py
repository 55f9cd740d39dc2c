"""What the REST views of every app share: who asks, what they may, how bodies are read and errors are told.

A view is thin: it names its access, finds its object among those the caller may see, and calls one operation.

    access      Access(scope, permission) for each method; agents need the scope, operators the permission
    principal   who asks, as the operations and selectors want it
    problems    every error as application/problem+json (RFC 9457)
    views       the base view: strict parameters, idempotency keys, rate limit headers
    pages       cursor pages {items, next, prev}
    schema      OpenAPI: required scopes and problem responses on every operation
"""
