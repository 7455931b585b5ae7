"""Devices, compiling, memory and precision."""
