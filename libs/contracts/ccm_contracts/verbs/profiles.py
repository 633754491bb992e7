"""Device profiles of the site's own, as bus-reader keeps them: sent, listed, fetched, removed."""

from typing import Annotated, Final

from pydantic import Field

from ccm_contracts.types import Frozen, Slug, Timestamp

LARGEST_PROFILE: Final = 256 * 1024
"""Characters of a profile; with its envelope well below what the bus carries (1 MB)."""
MOST_UPLOADED: Final = 100
"""Profiles that are kept; one more is refused."""
MOST_FAULTS: Final = 20
"""Of one file; the first ones."""

Tag = Annotated[str, Field(max_length=64)]
"""Stands for a profile's text as it is stored."""


class ProfileFault(Frozen):
    """What is wrong with a profile, and where: `line` counts from 1, `field` is its path, `points[2].metric`."""

    line: int
    field: str
    message: str


class ProfileInfo(Frozen):
    """A file of the site's own. `replaces`: built-in models that its models stand in for.

    `name` and `tag` are those of an uploaded one; a file that somebody laid into the folder by hand has none.
    """

    file: str
    name: Slug | None = None
    tag: Tag | None = None
    models: list[str] = []
    replaces: list[str] = []
    fault: str | None = None
    """Why it is left out."""
    size: int = 0
    """Bytes."""
    ts: Timestamp | None = None
    """When it was stored."""


class ProfilePut(Frozen):
    """Store a profile under a name. `tag`: that of the one it replaces; none: there must not be one."""

    name: Slug
    text: Annotated[str, Field(max_length=LARGEST_PROFILE)]
    tag: Tag | None = None
    override: bool = False
    """Its models may stand in for built-in ones of the same name."""


class ProfilePutDone(Frozen):
    """What is stored now; or nothing, and `faults` say why."""

    profile: ProfileInfo | None = None
    faults: list[ProfileFault] = []


class ProfileQuery(Frozen):
    """All files, or the text of one."""

    name: Slug | None = None


class ProfileList(Frozen):
    """`text` is that of the one that was asked for."""

    profiles: list[ProfileInfo]
    text: str | None = None


class ProfileRemove(Frozen):
    """Remove the uploaded profile, if it is still the one with this tag."""

    name: Slug
    tag: Tag


class ProfileRemoved(Frozen):
    name: Slug
