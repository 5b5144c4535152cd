"""Moving tenants between placements while they work."""

from agentflow_tenancy.moves.mover import Mover
from agentflow_tenancy.moves.operations import Operation, OperationRepository
from agentflow_tenancy.moves.policy import MovePolicy, Proposal

__all__ = ["MovePolicy", "Mover", "Operation", "OperationRepository", "Proposal"]
