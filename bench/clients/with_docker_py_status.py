"""docker-py, and once a second a look at what the engine says, and at how many tasks run."""

import sys
import time

import docker

url, name, image = sys.argv[1:]
client = docker.DockerClient(base_url=url)
service = client.services.get(name)
service.update(image=image)
while True:
    service.reload()
    state = service.attrs.get("UpdateStatus", {}).get("State", "")
    tasks = service.tasks()
    new = [
        task
        for task in tasks
        if task["Spec"]["ContainerSpec"]["Image"] == image and task["Status"]["State"] == "running"
    ]
    print(f"{state}: {len(new)} tasks run {image}", flush=True)
    if state in ("completed", "paused", "rollback_completed", "rollback_paused"):
        break
    time.sleep(1)
print(time.time())
sys.exit(state != "completed")
