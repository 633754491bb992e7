"""uplink: the history database and the MQTT broker receive what was measured."""
