"""The parts of tests/reference/dump_reference.py."""
