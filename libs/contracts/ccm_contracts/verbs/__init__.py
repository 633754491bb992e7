"""Arguments and results of each service's commands and queries, one file per owning service."""
