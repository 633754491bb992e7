"""Numbered migrations of the history database, run by Alembic from `ccm_uplink.history.upgrade`."""
