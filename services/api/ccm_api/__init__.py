"""REST, sign-in, live stream and the web portal. Owns no data: it asks the other services over the bus."""
