"""The routes and the doors, tested as a person would use them."""
