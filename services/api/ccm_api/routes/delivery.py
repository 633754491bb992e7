"""What was delivered: history's ledger and the state of each uplink."""

from fastapi import APIRouter

from ccm_api.deps import SiteDep, ViewerDep
from ccm_api.shapes import Delivery
from ccm_contracts.verb_table import LEDGER
from ccm_contracts.verbs.uplink import LedgerQuery

router = APIRouter(tags=["history"])


@router.get("/delivery", summary="What was stored and sent")
async def delivery(site: SiteDep, who: ViewerDep) -> Delivery:
    """What history holds of each device, each link's outbox, and each link's ledger by device and number.

    A number up to `complete_to` that did not arrive is in `missing`, or was superseded within its slot (`thinned`).
    """
    ledger = await site.bus.call(LEDGER, LedgerQuery(), issued_by=f"api:{who.name}")
    links = [link for _, link in sorted(site.live.links.items())]
    return Delivery(devices=ledger.devices, links=links, ledgers=ledger.links)
