"""A simulated site: serial devices on real pseudo-terminals at line speed and an inverter on Modbus TCP.

Shares no decoding and no map with the gateway, so that a wrong map there cannot confirm itself here.
"""

from ccm_sim.site import Site
from ccm_sim.spec import LineSpec, SiteSpec, SpecError, TcpSpec, demo_spec, load_spec, parse_spec

__all__ = ["LineSpec", "Site", "SiteSpec", "SpecError", "TcpSpec", "demo_spec", "load_spec", "parse_spec"]
