"""python-on-whales, which runs the docker CLI; the fourth argument is that program."""

import sys
import time

from python_on_whales import DockerClient

url, service, image, cli = sys.argv[1:]
DockerClient(host=url, client_call=[cli]).service.update(service, image=image, detach=False)
print(time.time())
