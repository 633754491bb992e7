"""`ccmaster catalog`: the models that can be read, one model's points, and a check of a profile of your own."""

import argparse
import os
import sys
from pathlib import Path


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("catalog", help="list, show or check device profiles")
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    listing = steps.add_parser("list", help="every model, with type and protocol")
    listing.add_argument("brand", nargs="?", help="only this brand")
    show = steps.add_parser("show", help="one model's values and commands")
    show.add_argument("model", help="brand/model")
    check = steps.add_parser("check", help="say what is wrong in profiles; without FILE all that are known")
    check.add_argument("file", type=Path, nargs="*")
    for step in (listing, show, check):
        step.add_argument("--data-dir", type=Path, default=Path(os.environ.get("CCM_DATA_DIR", ".ccmaster")))
    listing.set_defaults(run=_list)
    show.set_defaults(run=_show)
    check.set_defaults(run=_check)


def _list(options: argparse.Namespace) -> int:
    from ccm_bus_reader.catalogue import load_catalog

    rows = [
        (profile.id, profile.type, profile.protocol, profile.series)
        for profile in load_catalog(options.data_dir / "catalog").models()
        if options.brand in (None, profile.brand.lower(), profile.id.partition("/")[0])
    ]
    for identity, kind, protocol, series in rows:
        print(f"{identity:<32} {kind:<12} {protocol:<12} {series}")
    return 0 if rows else 1


def _show(options: argparse.Namespace) -> int:
    from ccm_bus_reader.catalogue import load_catalog
    from ccm_bus_reader.profile import catalog_model

    model = catalog_model(load_catalog(options.data_dir / "catalog").find(options.model))
    print(f"{model.id}: {model.type}, {model.brand} {model.series} {model.model}, {model.protocol}")
    print(f"source: {model.source}\n")
    for point in model.points:
        resolution = "" if point.resolution is None else f"{point.resolution:g}"
        print(f"{point.metric:<12} {point.unit:<6} {point.poll:<5} {resolution}".rstrip())
    for command in model.commands:
        print(
            f"\n{command.name}: {command.label}, {command.minimum:g} to {command.maximum:g} {command.unit}".rstrip()
        )
    return 0


def _check(options: argparse.Namespace) -> int:
    from ccm_bus_reader.catalogue import load_catalog
    from ccm_bus_reader.profile_source import load_profile_file
    from ccm_kit.errors import BadInputError

    problems: list[str] = []
    count = 0
    for path in options.file:
        try:
            count += len(load_profile_file(path))
        except BadInputError as err:
            problems.append(err.message)
    if not options.file:
        catalog = load_catalog(options.data_dir / "catalog")
        count = len(catalog.models())
        problems += catalog.problems
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{count} models, all sound")
    return 2 if problems else 0
