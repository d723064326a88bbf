"""The control room: the front door of Tailrace, and the only place that sees all three stages.

Everything here is imported lazily, so that `tailrace --help` is there at once and a container with
one stage's dependencies alone can run that stage.
"""
