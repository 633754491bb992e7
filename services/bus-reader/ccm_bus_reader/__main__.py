"""`python -m ccm_bus_reader`."""

from ccm_bus_reader.service import main
from ccm_kit.service import run

if __name__ == "__main__":
    run("bus-reader", main)
