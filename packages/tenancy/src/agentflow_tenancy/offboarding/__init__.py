"""Tenants that leave and users who are forgotten: everything of theirs goes, and a receipt says so."""

from agentflow_tenancy.offboarding.places import Exporter, Place, RedisPlace
from agentflow_tenancy.offboarding.purger import Purge, Purger
from agentflow_tenancy.offboarding.receipt_repository import Receipt, ReceiptRepository
from agentflow_tenancy.offboarding.records import Offboarding, Subject
from agentflow_tenancy.offboarding.repository import OffboardingRepository, Request
from agentflow_tenancy.offboarding.verifier import Verifier

__all__ = [
    "Exporter",
    "Offboarding",
    "OffboardingRepository",
    "Place",
    "Purge",
    "Purger",
    "Receipt",
    "ReceiptRepository",
    "RedisPlace",
    "Request",
    "Subject",
    "Verifier",
]
