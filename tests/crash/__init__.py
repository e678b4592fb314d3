"""What the market survives: crashes at every point, zombies, outages, full disks."""
