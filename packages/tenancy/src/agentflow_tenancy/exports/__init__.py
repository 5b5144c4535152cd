"""Exports of tenants' threads to archives, and imports of the same archives."""

from agentflow_tenancy.exports.exporter import ThreadExporter
from agentflow_tenancy.exports.folder import ExportFolder
from agentflow_tenancy.exports.importer import ThreadImporter
from agentflow_tenancy.exports.leftovers import Leftovers
from agentflow_tenancy.exports.links import Link, Links
from agentflow_tenancy.exports.records import ExportQueue, ExportRecord, ExportRepository, NewExport, Upload

__all__ = [
    "ExportFolder",
    "ExportQueue",
    "ExportRecord",
    "ExportRepository",
    "Leftovers",
    "Link",
    "Links",
    "NewExport",
    "ThreadExporter",
    "ThreadImporter",
    "Upload",
]
