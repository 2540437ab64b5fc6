"""
One set of scenarios for the real swarm and the simulated one, whose traces have to agree.

`words` is what scenarios are written in, `scenarios` are they, `driver` plays them on a `Door`
(`real` or `simulated`), `trace` keeps what was seen as facts and times, `compare` finds where two
of them differ, and `recorded/` holds what real engines did.
"""
