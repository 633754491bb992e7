"""`python -m ccm_io`."""

from ccm_io.service import alone, main
from ccm_kit.service import run

if __name__ == "__main__":
    run("io", main, alone=alone)
