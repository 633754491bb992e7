"""`python -m ccm_uplink`: what its container runs."""

from ccm_kit.service import run
from ccm_uplink.service import main

if __name__ == "__main__":
    run("uplink", main)
