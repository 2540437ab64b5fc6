"""swarmroll, as its README says."""

import sys
import time

import swarmroll

url, service, image = sys.argv[1:]
with swarmroll.connect(url) as swarm:
    report = swarm.update(service, image=image)
    print(report.plan.predicted)
    print(time.time())
