"""Tests, sorted as the house is: a room's tests stand in the folder of the same name."""
