"""From files and drawings to uint8 arrays: decoding, caches, splits. data.py is the door."""
