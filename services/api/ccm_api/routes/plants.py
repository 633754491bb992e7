"""Plants and their power balance (manual section 7)."""

from fastapi import APIRouter

from ccm_api.deps import Site, SiteDep, ViewerDep
from ccm_api.freshness import age_s, plant_limit_s, quality_of
from ccm_api.problems import ProblemError, not_found
from ccm_api.shapes import PlantList, PlantView
from ccm_contracts.config.field import Plant
from ccm_contracts.messages import Balance

router = APIRouter(prefix="/plants", tags=["plants"])


@router.get("", summary="All plants")
async def plants(site: SiteDep, _: ViewerDep) -> PlantList:
    return PlantList(plants=[_view(site, plant) for plant in site.document.plants])


@router.get("/{plant}", summary="One plant")
async def one_plant(plant: str, site: SiteDep, _: ViewerDep) -> PlantView:
    return _view(site, _configured(site, plant))


@router.get("/{plant}/balance", summary="A plant's power balance, W")
async def balance(plant: str, site: SiteDep, _: ViewerDep) -> Balance:
    """p_load = p_prod + p_grid (+ p_bat); p_grid is positive when importing. 503 while none was computed yet."""
    newest = _balance(site, _configured(site, plant))
    if newest is None:
        raise ProblemError(503, "no-balance", f"no balance of {plant} was computed yet")
    return newest


def _configured(site: Site, plant: str) -> Plant:
    for each in site.document.plants:
        if each.id == plant:
            return each
    raise not_found("plant", plant)


def _view(site: Site, plant: Plant) -> PlantView:
    return PlantView(**plant.model_dump(), balance=_balance(site, plant))


def _balance(site: Site, plant: Plant) -> Balance | None:
    newest = site.live.balances.get(plant.id)
    if newest is None:
        return None
    age = age_s(newest.ts, site.clock.now())
    quality = quality_of(newest.quality, age=age, limit=plant_limit_s(plant, site.document))
    return newest.model_copy(update={"quality": quality})
