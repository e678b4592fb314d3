"""The chaos run: real processes, hurt by a seeded chance, and a checker that reads all of it."""
