"""MCP servers: their registration, the discovery of their tools, and the calls.

    definition, operations, selectors    register, change and remove servers; keep what was discovered
    discovery                            ask a server for its tools, judge each, derive its side-effect class
    offers                               the tools of all servers as specs, in the catalog of every process
    calls                                one call of a tool, by a session of its own
    sessions, wire, local                a session over HTTP (on the guarded network) or with a started program

A document is judged by the rows that the last discovery left, so no host dials a server to validate, and a tool's
schemas are the same everywhere. Only discovery and calls dial. The SDK is imported by `sessions` and what is below it
alone, and `sessions` by nobody before its first use: it takes half a second.

A session lives for one call. What a server keeps for a session is thus never seen by another run, a started program
ends with its step, and a step that is cut off leaves nothing behind.
"""
