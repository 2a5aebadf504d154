// A library with nothing in it: a module that is none, and a driver that only seems to be there.
