"""Shifts of a simulated camera as lists of times, actors and actions, with what must come of them."""
