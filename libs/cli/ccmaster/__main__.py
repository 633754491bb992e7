"""`python -m ccmaster` is `ccmaster`."""

from ccmaster.main import main

raise SystemExit(main())
