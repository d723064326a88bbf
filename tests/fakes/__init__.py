"""Stand-ins for services, faithful where our tests lean on them, and scriptable."""
