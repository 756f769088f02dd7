"""Some hundred requests that nobody means; `make fuzz` sends thousands."""

from __future__ import annotations

from MeWMLib.jobs.job import Job
from Testing.jobs import fuzz
from Testing.jobs.asking import begin, lines


def test_requests_that_nobody_means_are_refused_in_words(serve):
    server = serve()
    other = begin(server, Job("propose", {"case": "sample:tiny", "goal": fuzz.SECRET}))
    lines(server, other)
    statuses = fuzz.fuzz(server.url, server.data, 200, 5, [], [other])
    assert sum(statuses.values()) >= 200 and statuses[200] and statuses[400] and statuses[404]
    assert server.store.get(other) is not None
