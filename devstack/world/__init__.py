"""The simulated TEEI world: databases, deployments, services, traffic, faults and releases."""
