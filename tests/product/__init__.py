"""The whole product under test: its stages as processes, a workload, and an independent oracle."""
