"""Real servers on free ports, the far end of the wire, and waiting: shared by all test folders."""
