"""What goes wrong with exports and imports, by what whoever asked can do."""

from __future__ import annotations

from agentflow_tenancy.errors import TenancyError


class ExportError(TenancyError):
    """An export or an import ended without success, for good."""

    code = "EXPORT_FAILED"


class ArchiveError(ExportError):
    """The archive is not one, was changed or cut off, or holds what cannot be stored: none of it is used."""

    code = "INVALID_ARCHIVE"


class ArchiveVersionError(ArchiveError):
    """The archive is of a newer version than this service reads."""

    code = "ARCHIVE_VERSION"


class ThreadsExistError(ExportError):
    """The tenant has threads of the same ids; they stay as they are."""

    code = "THREADS_EXIST"


class NoRoomError(ExportError):
    """The tenant's limits leave no room for what would be imported."""

    code = "QUOTA_EXCEEDED"


class TooManyExportsError(TenancyError):
    """Enough of them are open for this tenant already."""

    code = "TOO_MANY_EXPORTS"


class LinkError(TenancyError):
    """A download link was changed, has expired, or its file is gone."""

    code = "LINK_GONE"
