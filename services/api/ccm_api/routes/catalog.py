"""The models that can be read, as bus-reader's catalogue has them."""

from typing import Annotated

from fastapi import APIRouter, Query

from ccm_api.deps import SiteDep, ViewerDep
from ccm_api.problems import ProblemError, not_found
from ccm_contracts.types import Slug
from ccm_contracts.verb_table import CATALOG
from ccm_contracts.verbs.bus_reader import CatalogList, CatalogModel, CatalogQuery
from ccm_kit.errors import RefusedError

router = APIRouter(prefix="/catalog", tags=["catalog"])


@router.get("", summary="All models")
async def models(
    site: SiteDep, who: ViewerDep, brand: Annotated[Slug | None, Query(examples=["eastron"])] = None
) -> CatalogList:
    return await site.bus.call(CATALOG, CatalogQuery(brand=brand), issued_by=f"api:{who.name}")


@router.get("/{brand}/{model}", summary="One model with its points and commands")
async def one_model(brand: Slug, model: str, site: SiteDep, who: ViewerDep) -> CatalogModel:
    name = f"{brand}/{model}"[:100]
    try:
        found = await site.bus.call(CATALOG, CatalogQuery(model=name), issued_by=f"api:{who.name}")
    except RefusedError as err:
        raise ProblemError(404, "not-found", err.message) from err
    if not found.models:
        raise not_found("model", name)
    return found.models[0]
