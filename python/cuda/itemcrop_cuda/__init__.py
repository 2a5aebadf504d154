"""Holds libitemcrop_cuda.so, which itemcrop finds by itself (itemcrop/_cuda.py). Nothing to import here."""
