"""The parts of tools/dump_reference.py."""
