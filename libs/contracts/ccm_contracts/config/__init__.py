"""The configuration document: one file per section, joined in `document.py`."""
