"""The parts of the gateway that traces tell of, each as the plain part and a span around it.

Plain parts know nothing of traces. Where traces are off, nothing of this is made or called.
"""
