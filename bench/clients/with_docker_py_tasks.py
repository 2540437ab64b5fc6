"""docker-py, and once a second a look whether all tasks run the new image."""

import sys
import time

import docker

url, name, image = sys.argv[1:]
client = docker.DockerClient(base_url=url)
service = client.services.get(name)
wanted = service.attrs["Spec"]["Mode"]["Replicated"]["Replicas"]
service.update(image=image)
while True:
    tasks = service.tasks(filters={"desired-state": "running"})
    new = [
        task
        for task in tasks
        if task["Spec"]["ContainerSpec"]["Image"] == image and task["Status"]["State"] == "running"
    ]
    if len(new) == wanted:
        break
    time.sleep(1)
print(time.time())
