"""Convolutions of this project's own, in C++ for the CPU."""
