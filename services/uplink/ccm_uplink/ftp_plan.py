"""What the configuration says about files over FTP: whether, when, where to and in which shape. Pure."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ccm_contracts.config.services import Ftp, Historic
from ccm_uplink.formats.files import FileOptions
from ccm_uplink.schedule import Schedule


@dataclass(frozen=True, slots=True)
class FtpPlan:
    """What the configuration says; two that are equal need no new sink."""

    ftp: Ftp
    historic: Historic
    zone: str

    @property
    def is_enabled(self) -> bool:
        return self.ftp.enabled and self.historic.ftp.enabled

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.historic.ftp.every_s, self.historic.ftp.at, ZoneInfo(self.zone))

    def options(self, gateway: str) -> FileOptions:
        return FileOptions.of(gateway, ZoneInfo(self.zone), self.historic)
