"""The subcommands. Each module has `add(subparsers)`; it imports what it needs only when it runs."""
