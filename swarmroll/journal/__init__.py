"""The durable record of rollouts, and who may write a service."""
