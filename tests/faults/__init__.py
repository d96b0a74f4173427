"""Real TCP that breaks on purpose: a proxy in front of a service, the faults it plays, and what each one leads to."""
