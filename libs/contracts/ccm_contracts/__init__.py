"""What crosses the CcMaster bus: messages, state, configuration, commands, and the table of channels."""
