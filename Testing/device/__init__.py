"""What is done on a graphics card that is lent for minutes: `python -m device`, see `lease.py`."""
