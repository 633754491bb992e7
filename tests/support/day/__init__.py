"""A day of a bad line in simulated time: the gateway's line engine, a simulated cabinet, mishaps, and a witness."""
