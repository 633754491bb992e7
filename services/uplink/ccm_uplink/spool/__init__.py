"""What waits on disk to be sent as files."""
