"""SunSpec devices: finding their models on the wire, and the profile that follows from them. Pure."""
