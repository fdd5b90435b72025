"""Cases: found, checked, split, prepared, and cut into random training windows.

Knows the configuration, and none of the other rooms.
"""
