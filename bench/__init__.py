"""Benchmarks: each program measures one goal against a named peer, in one run.

    make bench                                 all of them, and a table at the end
    python -m bench.token_endpoint             one of them

docs/performance.md says what each goal means and how it is measured.
"""
