"""Simulation: a document run on the spot, in virtual time, with nothing sent and nothing stored.

The engine is the real one. Its ports are a clock that only sleeping moves and a journal in memory; the engine itself
takes results from fixtures and from the tools' own simulations, as it does in a worker's simulated runs.
"""

from pipelines.engine.simulated import simulated_result
from pipelines.simulation.simulator import ended_as_wanted, simulate

__all__ = ["ended_as_wanted", "simulate", "simulated_result"]
