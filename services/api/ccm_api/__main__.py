"""Runs the service: `python -m ccm_api`."""

from ccm_api.service import main
from ccm_kit.service import run

if __name__ == "__main__":
    run("api", main)
