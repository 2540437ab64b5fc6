"""The door to a swarm: what is asked of it (port), and docker-py behind it."""
