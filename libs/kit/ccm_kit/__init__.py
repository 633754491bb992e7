"""How every CcMaster service lives: settings, bus, configuration watch, errors, logging, shutdown."""
