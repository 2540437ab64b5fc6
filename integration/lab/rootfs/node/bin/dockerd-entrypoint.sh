#!/bin/sh
# Starts dockerd as the official docker:dind image does: on its socket and on a port without TLS.
# A pid file of a dockerd that was killed may name an innocent process by now.
rm -f /run/docker.pid
exec dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2375 "$@"
