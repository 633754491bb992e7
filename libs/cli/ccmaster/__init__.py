"""The `ccmaster` command: one file per subcommand under `commands/`."""
