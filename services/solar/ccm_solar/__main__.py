"""`python -m ccm_solar`."""

from ccm_kit.service import run
from ccm_solar.service import main

if __name__ == "__main__":
    run("solar", main)
