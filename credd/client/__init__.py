"""The guest wing's client: runs inside other people's processes, on the standard library alone.

`raw` asks one question over the socket; `token_command` is credd-token; `calls` has a method for
each route, `source` remembers a token and hands it only to hosts it belongs to, `sync` and `aio`
are what programs call. It refuses to know how a token is obtained, and never holds a secret that
outlives one.
"""
