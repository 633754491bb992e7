"""The shapes of files. Pure: no files, no clock."""
